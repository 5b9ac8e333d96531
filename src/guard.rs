//! The lines of defence: each stands in the program, and one can be taken out of the unit tests to see which of them fail.
//!
//! * In the program [`stands`] is the constant `true`: what the compiler makes of it is the line of defence alone.
//! * In the unit tests `LARDER_WITHOUT=<guard>` takes one out. The tests that then fail are in `docs/consistency.md`, and
//!   a test sees to it that they do: a check that cannot fail is no check.
//!
//! Not here: what they defend (`docs/consistency.md`), and what only a real PostgreSQL shows (`tests/integration`).

/// Declares the guards, each with the tests that fail without it.
macro_rules! guards {
    ($($name:ident: $text:literal => [$($test:literal),+];)+) => {
        /// A line of defence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Guard {
            $(#[doc = $text] $name,)+
        }

        #[cfg(test)]
        impl Guard {
            /// Each with what it says and the tests that fail without it.
            const ALL: &[(Guard, &str, &[&str])] = &[$((Guard::$name, $text, &[$($test),+]),)+];
        }
    };
}

guards! {
    IntentBeforeBytes: "the intent opens before the bytes leave" => ["simulation", "p1_an_own_write_is_shut_before_it_leaves_and_raised_before_it_is_told"];
    OpenShuts: "an open intent shuts: it changes the word" => ["simulation", "an_open_intent_shuts_and_a_raise_kills"];
    CloseRaises: "closing raises" => ["simulation", "a_window_wholly_inside_a_fill_is_seen", "p1_an_own_write_is_shut_before_it_leaves_and_raised_before_it_is_told"];
    NoStampWhileOpen: "no stamp while an intent is open" => ["simulation", "an_open_intent_shuts_and_a_raise_kills"];
    StampBeforeSent: "the stamp is taken before the statement is sent, for a portal before its Bind" => ["simulation", "p1_a_portal_is_as_old_as_its_bind", "a_read_that_a_write_overlapped_is_not_kept"];
    StampAtHit: "the stamp is looked at for every hit, each relation of it" => ["simulation", "p1_an_own_write_is_shut_before_it_leaves_and_raised_before_it_is_told", "a_write_that_changes_no_row_leaves_answers_valid"];
    StampOfDatabase: "… the database's word" => ["simulation", "a_set_resolved_with_an_older_catalog_is_widened", "everything_is_every_relation_of_that_database_only"];
    StampOfCatalog: "… the catalog's word" => ["a_catalog_change_shuts_every_database_until_a_load_begun_after_it"];
    StampAtFill: "the stamp is looked at again when a fill ends" => ["p1_a_portal_is_as_old_as_its_bind", "a_read_that_a_write_overlapped_is_not_kept"];
    TimeToLive: "time to live" => ["simulation"];
    RoleInKey: "the role in the key" => ["simulation"];
    SettingsInKey: "the settings in the key" => ["simulation", "savepoints_are_gone_back_to", "set_local_ends_with_the_transaction_and_means_nothing_outside"];
    WholeKey: "the key is compared, not its hash" => ["simulation", "equal_parts_are_equal_keys_and_hashes", "simple_and_extended_protocol_are_two_keys"];
    NoHitBehindOwed: "no hit behind owed answers" => ["simulation", "p4_a_hit_is_never_given_behind_a_read_that_is_under_way"];
    LocalWaits: "local answers wait behind owed ones" => ["simulation", "local_answers_behind_a_slow_one_are_bounded", "a_local_answer_waits_behind_what_is_owed"];
    CopyShuts: "COPY shuts from CopyDone on" => ["simulation", "a_copy_shuts_from_its_end_on_and_never_without", "an_extended_copy_ignores_the_sync_before_its_end"];
    CopyRaisesBefore: "COPY raises what was visible before it" => ["a_copy_raises_what_was_visible_before_it_began"];
    DoubtShuts: "in doubt stays shut until the backend is gone" => ["simulation", "p9_a_backend_that_did_not_tell_of_itself_is_the_announced_one_unless_the_upstream_is_a_pooler", "a_write_whose_connection_ends_stays_shut"];
    LeaveWaits: "a client that leaves does not end a session with an open intent" => ["a_write_whose_connection_ends_stays_shut"];
    CatalogWaits: "a catalog is not in force while narrow intents of an older one are open" => ["a_catalog_waits_for_writes_resolved_with_an_older_one"];
    OldSetsWiden: "a set of an older catalog is widened" => ["a_set_resolved_with_an_older_catalog_is_widened"];
    TwoCatalogsWiden: "sets of two catalogs are everything" => ["sets_add_up_and_never_shrink"];
    NoOldLoad: "no load begun before a raise, none begun during a change" => ["a_catalog_change_shuts_every_database_until_a_load_begun_after_it"];
    NoOldCatalog: "nothing from an old catalog after a raise" => ["simulation", "p7_a_statement_that_lives_here_returns_what_it_did_or_nothing", "p7_a_prepared_statement_is_checked_again_after_a_change_of_the_catalog"];
    AllCatalogs: "DDL opens the catalogs of all databases" => ["p6_a_catalog_change_shuts_a_database_that_is_first_used_meanwhile", "a_catalog_change_shuts_every_database_until_a_load_begun_after_it"];
    NewDatabases: "… and of those first used meanwhile" => ["p6_a_catalog_change_shuts_a_database_that_is_first_used_meanwhile"];
    OpaqueOpensAll: "opaque writes open everything" => ["simulation", "everything_is_every_relation_of_that_database_only", "a_set_resolved_with_an_older_catalog_is_widened"];
    LocksRaise: "what is locked is raised, each relation" => ["simulation", "p1_only_what_was_locked_is_raised_by_a_commit"];
    LocksAndText: "… and what the statements say" => ["p1_what_the_text_says_is_raised_whatever_the_locks_say"];
    LocksOfSuccess: "… only if the COMMIT has succeeded" => ["p1_locks_count_only_once_the_commit_has_succeeded"];
    LocksUnknown: "… unless something of it writes behind the question, or is unknown" => ["what_is_locked_is_what_was_written", "p1_what_locks_do_not_tell_is_everything"];
    LocksStay: "… or can write elsewhere" => ["locks_tell_where_all_code_stays_in_its_transaction"];
    LocksOfCatalogs: "what code changes in system catalogs raises the catalog" => ["p6_a_system_catalog_that_was_changed_raises_the_catalog", "what_is_locked_is_what_was_written"];
    LocksUnhurried: "locks are asked for only where that cannot fail, and not ahead of answers" => ["every_way_to_commit_asks_and_none_is_asked_that_would_not_count"];
    CoversOnlyCovered: "one open intent stands for another only if it covers it" => ["simulation", "a_pipeline_of_many_writes_opens_one_intent"];
    UnseenShutsAll: "a session that is not followed holds everything open" => ["a_name_that_does_not_end_is_not_awaited"];
    CleanOnly: "nothing is served or kept after the first write of a transaction" => ["simulation"];
    ReadsOnly: "… behind anything that is not a read" => ["simulation"];
    NotFailed: "… in a failed transaction" => ["simulation", "in_a_failed_block_what_lives_here_is_refused_as_what_does_not"];
    IsolationOfBlock: "… under the isolation of a block" => ["a_read_committed_transaction_hits_while_it_is_clean_and_no_other_does", "the_next_block_of_the_same_message_has_an_isolation_of_its_own"];
    IsolationOfPipeline: "… or of a pipeline" => ["simulation", "p1_a_snapshot_that_a_pipeline_shares_fills_nothing"];
    CommitOpensEarlier: "COMMIT opens what came before it, answered or not" => ["simulation", "a_savepoint_gone_back_to_keeps_the_write_set", "a_copy_raises_what_was_visible_before_it_began"];
    BehindRollback: "what is sent behind a ROLLBACK may run outside of a block" => ["simulation", "what_is_sent_behind_a_rollback_may_run_outside_of_a_block"];
    BehindHeldBegin: "… and behind a BEGIN that was held back and is not answered" => ["what_is_sent_behind_a_held_begin_may_run_outside_of_a_block"];
    ExecuteMayCommit: "an EXECUTE that may be a COMMIT opens what it makes visible" => ["p9_a_commit_behind_execute_is_shut_before_it_leaves"];
    UnseenEndRaises: "a block that ends unseen is raised" => ["a_block_that_ends_unseen_is_raised_before_the_client_is_told"];
    ErrorProvesLittle: "an error proves nothing where something in its message may have committed" => ["simulation", "an_error_behind_a_commit_takes_nothing_back"];
    UnrunIsProven: "an error proves that nothing has run only if it was raised before anything could" => ["an_error_that_may_come_from_running_raises"];
    PreparedInDoubt: "code that is not known may have prepared something else under a name" => ["p1_a_name_whose_meaning_is_in_doubt_writes_everything"];
    RollbackProvesOne: "ROLLBACK proves it only for a COMMIT that is alone" => ["simulation", "what_is_sent_behind_a_rollback_may_run_outside_of_a_block"];
    ZeroProvesOne: "a count of zero proves it only for a statement that is alone, and not opaque" => ["a_write_that_changes_no_row_leaves_answers_valid"];
    FailedNotKept: "what failed is not kept" => ["nothing_of_a_batch_that_failed_is_kept"];
    NoisyNotKept: "what came with a notice is not kept" => ["what_ends_in_an_error_or_comes_with_a_notice_is_not_kept"];
    SuspendedNotKept: "what was suspended is not kept" => ["p5_what_was_suspended_is_not_the_whole_answer"];
    PortalHolds: "a portal that lives here: raised" => ["what_is_bound_here_is_run_upstream_once_it_is_raised"];
    PortalWaits: "… behind a read" => ["p4_what_is_bound_here_is_not_run_here_behind_a_read_that_is_under_way"];
    PortalSettings: "… under other settings" => ["what_is_bound_here_is_run_upstream_under_other_settings"];
    BoundSettings: "a portal bound before a setting changed is not kept" => ["what_was_bound_before_a_setting_changed_is_not_kept"];
    OpaqueForgets: "after an opaque statement the settings are read again" => ["an_upstream_that_answers_what_was_not_asked_does_not_uncover_questions_of_ours"];
    DescriptionAsked: "an answer without description is none for who asks for one" => ["simulation", "an_answer_without_description_is_none_for_who_asks_for_it"];
    OneMoment: "a read of system catalogs is of one moment" => ["p4_a_read_of_catalogs_is_kept_only_if_it_was_alone"];
    ClockText: "a parameter that the clock reads is not kept" => ["a_clock_word_is_found_in_both_formats"];
    NoTemporary: "nothing is served to a session that has a temporary schema" => ["what_is_not_known_shuts"];
    NotInRecovery: "nothing is kept from a server in recovery" => ["p6_a_server_in_recovery_shuts_until_it_was_asked_again"];
    ServerInUse: "… or from one that is no longer the one in use" => ["p4_a_backend_of_a_server_that_is_not_in_use_neither_hits_nor_fills"];
    Encoding: "other encodings are not read as UTF8" => ["what_is_not_known_shuts"];
    CheckFenced: "the self-check: what was written meanwhile is not held against an entry" => ["simulation", "a_write_in_between_explains_a_difference"];
    CheckSparesOthers: "… nor what others may have written" => ["where_others_write_a_difference_is_counted_as_theirs"];
    CheckSparesFreedom: "… nor what PostgreSQL may choose" => ["what_postgresql_may_choose_is_no_mistake"];
    CheckSetsApart: "… what is found wrong is served no more" => ["a_wrong_answer_is_found_and_its_statement_is_served_no_more", "a_portal_bound_to_what_was_found_wrong_is_run_upstream"];
    RollbackUndoes: "ROLLBACK undoes settings" => ["a_setting_changes_the_context_and_rollback_restores_it", "a_read_behind_a_rollback_does_not_make_its_settings_stay"];
}

/// Whether that line of defence stands: always, but where a unit test has taken it out.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn stands(_guard: Guard) -> bool {
    true
}

#[cfg(test)]
pub(crate) use tests::{one_is_out, stands};

#[cfg(test)]
mod tests;
