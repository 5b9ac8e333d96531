//! What the sessions of one thread share.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use lru::LruCache;

use super::text::Text;
use crate::cache::key::Contexts;
use crate::cache::rules::Rules;
use crate::cache::store::Store;
use crate::cache::version::Ledger;
use crate::metrics::ThreadMetrics;

/// Analysed texts kept per thread.
const TEXTS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Longer texts are analysed each time: few are, and they would fill the memory.
const LONGEST_KEPT: usize = 16 << 10;

/// Whether the cache is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Decide, fill, serve.
    On,
    /// Decide and count; serve nothing.
    Observe,
    /// Pass everything on.
    Off,
}

/// What the sessions of one thread share.
#[derive(Debug)]
pub struct Thread {
    pub mode: Mode,
    pub ledger: Arc<Ledger>,
    pub store: Arc<Store>,
    pub contexts: Arc<Contexts>,
    pub rules: Arc<Rules>,
    pub metrics: Arc<ThreadMetrics>,
    texts: RefCell<LruCache<Rc<[u8]>, Rc<Text>, foldhash::fast::RandomState>>,
}

impl Thread {
    /// A thread's share of the process.
    pub fn new(
        mode: Mode,
        ledger: Arc<Ledger>,
        store: Arc<Store>,
        contexts: Arc<Contexts>,
        rules: Arc<Rules>,
        metrics: Arc<ThreadMetrics>,
    ) -> Thread {
        let texts = RefCell::new(LruCache::with_hasher(TEXTS, foldhash::fast::RandomState::default()));
        Thread { mode, ledger, store, contexts, rules, metrics, texts }
    }

    /// A text, analysed now or before.
    pub(super) fn text(&self, sql: &[u8]) -> Rc<Text> {
        if let Some(found) = self.texts.borrow_mut().get(sql) {
            return found.clone();
        }
        let text = Rc::new(Text::new(sql, self.mode != Mode::Off));
        if sql.len() <= LONGEST_KEPT {
            self.texts.borrow_mut().put(text.sql.clone(), text.clone());
        }
        text
    }
}
