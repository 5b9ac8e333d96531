//! The choice of the server, where `upstream.url` has several or wants one of a kind.
//!
//! * A client's login is relayed and cannot be judged before it is through, so a connection of Larder's own asks the
//!   servers, in order, and clients are sent to the one that was found. It is asked again every few seconds, and when a
//!   client could not reach it.
//! * Whenever the connection is lost or the server is not as wanted any more, nothing is served; whichever server is
//!   chosen then, all that was kept before is void (P9). The order of steps is that of `cache::servers`.
//! * A write in doubt on a server that is not in use shuts nothing; when that server is in use again, it does, before
//!   the first answer.
//! * While no server is as wanted, clients are refused, as libpq would. While it is only Larder's own connection that is
//!   missing, they still go where they went (P8).
//!
//! Not here: the catalogs (`control`).

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use tokio_postgres::error::SqlState;

use super::link::{Dialer, Facts, Failure, Link, code, reason};
use crate::cache::servers::Server;
use crate::cache::version::{Intent, Outcome, Raised, WriteSet};
use crate::config::{Address, SessionAttrs};
use crate::net::Place;
use crate::session::{Doubt, Shared};
use crate::sql::Touched;

/// How often the server in use is asked whether it is still as wanted.
pub(super) const CHECK: Duration = Duration::from_secs(2);
/// Between two rounds in which none was found.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// Writes in doubt on servers that are not in use; their intents are closed.
#[derive(Default)]
pub struct Parked(Mutex<Vec<Doubt>>);

impl Parked {
    fn lock(&self) -> MutexGuard<'_, Vec<Doubt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a doubt whose server is known and not in use, and gives what closing its intents has raised.
    pub(super) fn park(&self, shared: &Shared, mut doubt: Doubt) -> Result<Vec<Raised>, Doubt> {
        let mut parked = self.lock();
        let servers = &shared.ledger.servers;
        if doubt.server == Server::UNKNOWN || servers.allow(doubt.server) {
            return Err(doubt);
        }
        let intents = std::mem::take(&mut doubt.intents);
        parked.push(doubt);
        Ok(intents
            .into_iter()
            .map(|intent| intent.close(Outcome::Visible))
            .collect())
    }

    /// Puts a server in use. What is in doubt on it shuts everything before the first answer, until it is settled.
    pub(super) fn choose(&self, shared: &Shared, server: Server, doubts: &UnboundedSender<Doubt>) {
        let ledger = &shared.ledger;
        let mut parked = self.lock();
        let back = parked.extract_if(.., |doubt| {
            doubt.server == server && server != Server::UNKNOWN
        });
        for mut doubt in back {
            let all = WriteSet::new(Touched::Everything, true, None);
            doubt
                .intents
                .push(Intent::open(ledger, &doubt.database, &all));
            // Nobody there: then it stays open.
            let _ = doubts.send(doubt);
        }
        ledger.servers.choose(server);
    }
}

/// Chooses the server.
pub struct Chooser {
    pub dialer: Arc<Dialer>,
    pub shared: Arc<Shared>,
    pub parked: Arc<Parked>,
    /// Where doubts go that must be settled again.
    pub doubts: UnboundedSender<Doubt>,
}

/// A server that is as wanted.
struct Found {
    address: Address,
    /// `None`: it answers, but does not let us in.
    asked: Option<(Link, Facts)>,
}

/// Why a server is not in use any more.
enum Left {
    /// Larder's own connection is gone.
    Lost(Failure),
    /// It is not as wanted.
    Changed,
}

impl Chooser {
    /// Runs for as long as the process; returns at once where there is nothing to choose.
    pub async fn run(self) {
        if self.dialer.route.target.is_single() {
            return;
        }
        let mut told = false;
        loop {
            let Some(mut found) = self.find(&mut told).await else {
                sleep(RETRY).await;
                continue;
            };
            let place = self.enter(&found);
            match found.asked.as_mut() {
                Some((link, facts)) => {
                    let address = &found.address;
                    told = false;
                    tracing::info!(%address, recovery = facts.recovery, "this server is in use");
                    let left = self.stay(&place, link, facts).await;
                    self.leave(&left);
                    match left {
                        Left::Lost(error) => {
                            tracing::warn!(%address, error = %reason(&*error), "the server in use was lost");
                        }
                        Left::Changed => {
                            tracing::warn!(%address, "the server in use is not as wanted any more");
                        }
                    }
                }
                None => {
                    tokio::select! {
                        () = sleep(CHECK) => {}
                        () = self.dialer.route.target.suspected() => {}
                    }
                }
            }
        }
    }

    /// The first server that is as wanted. `told`: that there is none was said before.
    async fn find(&self, told: &mut bool) -> Option<Found> {
        let wanted = self.dialer.route.upstream.attrs;
        let mut second = None;
        let mut reasons = Vec::new();
        for address in self.in_order() {
            let asked = self.ask(&address).await;
            match asked {
                Ok((link, facts)) if meets(wanted, &facts) => {
                    let asked = Some((link, facts));
                    return Some(Found { address, asked });
                }
                Ok(asked) if wanted == SessionAttrs::PreferStandby => {
                    let asked = Some(asked);
                    second = second.or(Some(Found { address, asked }));
                }
                Ok(_) => reasons.push(format!("{address}: not {}", wanted.word())),
                Err(error) => {
                    reasons.push(format!("{address}: {}", reason(&*error)));
                    let any = matches!(wanted, SessionAttrs::Any | SessionAttrs::PreferStandby);
                    if any && lives(&*error) {
                        let asked = None;
                        second = second.or(Some(Found { address, asked }));
                    }
                }
            }
        }
        let asked = second.as_ref().is_some_and(|found| found.asked.is_some());
        if !asked && !std::mem::replace(told, true) {
            let reasons = reasons.join("; ");
            let hint =
                "nothing is served from memory meanwhile; Larder's role must be able to connect";
            tracing::warn!(
                wanted = wanted.word(),
                reasons,
                hint,
                "no server can be chosen"
            );
        }
        second
    }

    async fn ask(&self, address: &Address) -> Result<(Link, Facts), Failure> {
        let database = &self.dialer.route.upstream.database;
        let link = self.dialer.connect_to(address, database).await?;
        let facts = link.facts(&self.shared.ledger.servers).await?;
        Ok((link, facts))
    }

    fn in_order(&self) -> Vec<Address> {
        let mut hosts = self.dialer.route.target.hosts().to_vec();
        if self.dialer.route.upstream.balance {
            let random = std::hash::RandomState::new();
            hosts.sort_by_cached_key(|host| random.hash_one(host));
        }
        hosts
    }

    /// Puts a server in use.
    fn enter(&self, found: &Found) -> Arc<Place> {
        self.shared.ledger.blind();
        let server = match &found.asked {
            Some((_, facts)) => facts.server,
            None => Server::UNKNOWN,
        };
        self.parked.choose(&self.shared, server, &self.doubts);
        self.dialer.route.target.choose(&found.address, server)
    }

    /// Takes it out of use. Clients still go there if it may be as before.
    fn leave(&self, left: &Left) {
        self.shared.ledger.servers.leave();
        self.shared.ledger.blind();
        if matches!(left, Left::Changed) {
            self.dialer.route.target.refuse();
        }
    }

    /// Returns when the server is lost or not as wanted any more.
    async fn stay(&self, place: &Arc<Place>, link: &mut Link, before: &Facts) -> Left {
        let target = &self.dialer.route.target;
        loop {
            tokio::select! {
                () = sleep(CHECK) => {}
                () = target.suspected() => {}
                _ = link.runs.join_next() => {
                    return Left::Lost("the connection was closed".into());
                }
            }
            let wanted = self.dialer.route.upstream.attrs;
            match link.facts(&self.shared.ledger.servers).await {
                // A standby that was promoted is not the server it was.
                Ok(facts) if facts.server != before.server || facts.recovery != before.recovery => {
                    return Left::Changed;
                }
                // Found as second best, it stays.
                Ok(facts) if wanted == SessionAttrs::PreferStandby || meets(wanted, &facts) => {}
                Ok(_) => return Left::Changed,
                Err(error) => return Left::Lost(error),
            }
            target.trust(place);
        }
    }
}

/// `target_session_attrs`, as libpq judges.
pub(super) fn meets(wanted: SessionAttrs, facts: &Facts) -> bool {
    match wanted {
        SessionAttrs::Any => true,
        SessionAttrs::ReadWrite => !facts.read_only && !facts.recovery,
        SessionAttrs::ReadOnly => facts.read_only || facts.recovery,
        SessionAttrs::Primary => !facts.recovery,
        SessionAttrs::Standby | SessionAttrs::PreferStandby => facts.recovery,
    }
}

/// Whether a server answers and would serve others, though it does not let us in.
fn lives(error: &(dyn std::error::Error + 'static)) -> bool {
    let down = [
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
    ];
    code(error).is_some_and(|code| !down.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_mean_what_they_mean_to_libpq() {
        use SessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
        for (recovery, read_only, expected) in [
            (false, false, vec![Any, ReadWrite, Primary]),
            (false, true, vec![Any, ReadOnly, Primary]),
            (true, true, vec![Any, ReadOnly, Standby, PreferStandby]),
        ] {
            let facts = Facts {
                server: Server::UNKNOWN,
                recovery,
                read_only,
            };
            let all = [Any, ReadWrite, ReadOnly, Primary, Standby, PreferStandby];
            let met: Vec<_> = all.into_iter().filter(|a| meets(*a, &facts)).collect();
            assert_eq!(met, expected);
        }
    }
}
