//! The key: everything an answer depends on besides the data.
//!
//! * Compared in full, never by hash alone (hazard 12). Database, roles and settings are one [`Context`], interned by
//!   full comparison, so that one number stands for them; a number is never used twice.
//! * Every part carries its length, so that no two different lists of parts read alike (hazard 18).

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::Equivalent;

use crate::guard::{Guard, stands};

/// Database, roles and settings of a session at one moment.
#[derive(Debug)]
pub struct Context {
    id: u64,
    role: Box<str>,
}

impl Context {
    /// The number that stands for it.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// How many contexts are kept that no session is in, and how many bytes of them.
const KEPT: usize = 4096;
const KEPT_BYTES: usize = 8 << 20;

/// All contexts in use, and some that were: a session that comes back to a context finds its entries again.
///
/// A client can make as many as it likes, as long as it likes: what no session is in is bounded in number and in bytes
/// (hazard 77).
#[derive(Debug, Default)]
pub struct Contexts {
    known: Mutex<Known>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    contexts: HashMap<Box<[u8]>, Arc<Context>>,
    bytes: usize,
    /// How many, and how many bytes, were in use when they were last looked through.
    used: (usize, usize),
}

impl Known {
    /// Lets go of those that no session is in, where there are many. Their entries are found no more, and evicted in time.
    fn prune(&mut self) {
        let (count, bytes) = self.used;
        if self.contexts.len() < KEPT + 2 * count && self.bytes < KEPT_BYTES + 2 * bytes {
            return;
        }
        self.contexts
            .retain(|_, context| Arc::strong_count(context) > 1);
        self.bytes = self.contexts.keys().map(|bytes| bytes.len()).sum();
        self.used = (self.contexts.len(), self.bytes);
    }
}

impl Contexts {
    /// The numbers of all contexts of a role.
    pub fn of_role(&self, role: &str) -> HashSet<u64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let all = known.contexts.values();
        all.filter(|context| *context.role == *role)
            .map(|context| context.id)
            .collect()
    }

    /// The context of these parts, of that role.
    pub fn intern<'a>(
        &self,
        role: &str,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Arc<Context> {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.contexts.get(bytes.as_slice()) {
            return found.clone();
        }
        known.prune();
        let context = Arc::new(Context {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            role: role.into(),
        });
        known.bytes += bytes.len();
        known.contexts.insert(bytes.into(), context.clone());
        context
    }
}

/// How a statement is asked for: together with its context all that an answer's bytes depend on.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub context: u64,
    /// Canonical text.
    pub text: &'a [u8],
    /// Declared parameter types, as in Parse; empty in simple protocol.
    pub types: &'a [u8],
    /// Parameter formats, parameters and result formats, as in Bind; `None` in simple protocol.
    pub tail: Option<&'a [u8]>,
    /// 0 for the whole answer; else for no more than its first so many rows, with more or less behind them.
    pub limit: u32,
}

/// Bytes of lengths and limit at the start of a key.
const LENGTHS: usize = 12;

impl Asked<'_> {
    fn lengths(&self) -> [u8; LENGTHS] {
        let mut lengths = [0; LENGTHS];
        lengths[..4].copy_from_slice(&(self.text.len() as u32).to_le_bytes());
        // One bit tells simple from extended protocol.
        let types = (self.types.len() as u32) << 1 | u32::from(self.tail.is_some());
        lengths[4..8].copy_from_slice(&types.to_le_bytes());
        lengths[8..].copy_from_slice(&self.limit.to_le_bytes());
        lengths
    }

    /// The key to keep.
    pub fn to_key(self) -> Key {
        let tail = self.tail.unwrap_or_default();
        let mut bytes =
            Vec::with_capacity(LENGTHS + self.text.len() + self.types.len() + tail.len());
        bytes.extend_from_slice(&self.lengths());
        bytes.extend_from_slice(self.text);
        bytes.extend_from_slice(self.types);
        bytes.extend_from_slice(tail);
        Key {
            context: self.context,
            bytes: bytes.into(),
        }
    }
}

/// A kept key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    context: u64,
    bytes: Box<[u8]>,
}

impl Key {
    /// The number of its context.
    pub fn context(&self) -> u64 {
        self.context
    }

    /// Heap bytes of the key, for the store's accounts.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The canonical text.
    pub fn text(&self) -> &[u8] {
        self.parts().1
    }

    /// Makes it the key of the first rows only; 0: of the whole answer.
    pub fn limit(&mut self, rows: u32) {
        self.bytes[8..LENGTHS].copy_from_slice(&rows.to_le_bytes());
    }

    fn parts(&self) -> (&[u8], &[u8], &[u8], &[u8]) {
        let (lengths, rest) = self.bytes.split_at(LENGTHS);
        let at = |i: usize| {
            u32::from_le_bytes([lengths[i], lengths[i + 1], lengths[i + 2], lengths[i + 3]])
        };
        let (text, rest) = rest.split_at(at(0) as usize);
        let (types, tail) = rest.split_at((at(4) >> 1) as usize);
        (lengths, text, types, tail)
    }
}

fn hash_parts<H: Hasher>(state: &mut H, context: u64, lengths: &[u8], parts: [&[u8]; 3]) {
    state.write_u64(context);
    state.write(lengths);
    for part in parts {
        state.write(part);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (lengths, text, types, tail) = self.parts();
        hash_parts(state, self.context, lengths, [text, types, tail]);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let tail = self.tail.unwrap_or_default();
        hash_parts(
            state,
            self.context,
            &self.lengths(),
            [self.text, self.types, tail],
        );
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let (lengths, text, types, tail) = key.parts();
        let same = self.lengths() == lengths
            && self.text == text
            && self.types == types
            && self.tail.unwrap_or_default() == tail;
        self.context == key.context && (same || !stands(Guard::WholeKey))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::{BuildHasher, RandomState};

    fn asked<'a>(text: &'a [u8], types: &'a [u8], tail: Option<&'a [u8]>) -> Asked<'a> {
        Asked {
            context: 1,
            text,
            types,
            tail,
            limit: 0,
        }
    }

    #[test]
    fn the_first_rows_are_a_key_of_their_own() {
        let whole = asked(b"SELECT 1", b"", None);
        let mut key = whole.to_key();
        key.limit(1);
        assert!(!whole.equivalent(&key));
        assert!(Asked { limit: 1, ..whole }.equivalent(&key));
        assert!(!Asked { limit: 2, ..whole }.equivalent(&key));
    }

    #[test]
    fn simple_and_extended_protocol_are_two_keys() {
        let key = asked(b"SELECT 1", b"", None).to_key();
        assert!(asked(b"SELECT 1", b"", None).equivalent(&key));
        assert!(!asked(b"SELECT 1", b"", Some(b"")).equivalent(&key));
        assert!(
            !Asked {
                context: 2,
                ..asked(b"SELECT 1", b"", None)
            }
            .equivalent(&key)
        );
    }

    #[test]
    fn equal_contexts_are_one_and_different_ones_are_not() {
        let contexts = Contexts::default();
        let a = contexts.intern("", [b"ab".as_slice(), b"c"]);
        assert_eq!(a.id(), contexts.intern("", [b"ab".as_slice(), b"c"]).id());
        assert_ne!(a.id(), contexts.intern("", [b"a".as_slice(), b"bc"]).id());
    }

    /// Hazard 77: contexts that no session is in do not pile up, neither in number nor in bytes; those in use stay.
    #[test]
    fn what_is_kept_of_contexts_is_bounded() {
        let contexts = Contexts::default();
        let used = contexts.intern("", [b"in use".as_slice()]);
        for (number, size) in [(3 * KEPT, 8), (100, KEPT_BYTES / 8)] {
            for n in 0..number {
                let mut part = n.to_be_bytes().to_vec();
                part.resize(size, 0);
                contexts.intern("", [part.as_slice()]);
                let known = contexts.known.lock().unwrap();
                let bytes: usize = known.contexts.keys().map(|key| key.len()).sum();
                assert_eq!(bytes, known.bytes);
                assert!(known.contexts.len() <= KEPT + 8, "{}", known.contexts.len());
                assert!(bytes < KEPT_BYTES + KEPT_BYTES / 4, "{bytes}");
            }
        }
        assert_eq!(used.id(), contexts.intern("", [b"in use".as_slice()]).id());
    }

    /// Hazard 12: where all hashes collide, an entry is still found under its own key only.
    #[test]
    fn keys_that_hash_alike_are_different_keys() {
        #[derive(Clone, Default)]
        struct Colliding;
        impl Hasher for Colliding {
            fn finish(&self) -> u64 {
                7
            }
            fn write(&mut self, _bytes: &[u8]) {}
        }
        type AllAlike = std::hash::BuildHasherDefault<Colliding>;
        let store = quick_cache::sync::Cache::<Key, u32, _, AllAlike>::with(
            100_000,
            100_000,
            quick_cache::UnitWeighter,
            AllAlike::default(),
            Default::default(),
        );
        let texts = ["a", "b", "ab", "ba", ""].map(str::as_bytes);
        let tails = [None, Some(&b""[..]), Some(b"a"), Some(b"b")];
        let all = || {
            let pairs = texts
                .iter()
                .flat_map(|text| texts.iter().map(move |types| (*text, *types)));
            let tailed =
                pairs.flat_map(|(text, types)| tails.iter().map(move |tail| (text, types, *tail)));
            tailed.flat_map(|(text, types, tail)| {
                [1, 2].map(|context| Asked {
                    context,
                    ..asked(text, types, tail)
                })
            })
        };
        for (n, one) in all().enumerate() {
            assert_eq!(
                store.get(&one),
                None,
                "{one:?} was found before it was there"
            );
            store.insert(one.to_key(), n as u32);
        }
        for (n, one) in all().enumerate() {
            assert_eq!(store.get(&one), Some(n as u32), "{one:?}");
        }
    }

    proptest! {
        #[test]
        fn equal_parts_are_equal_keys_and_hashes(
            a in proptest::collection::vec(0u8..3, 0..4), b in proptest::collection::vec(0u8..3, 0..4),
            c in proptest::option::of(proptest::collection::vec(0u8..3, 0..4)),
            d in proptest::collection::vec(0u8..3, 0..4), e in proptest::collection::vec(0u8..3, 0..4),
            f in proptest::option::of(proptest::collection::vec(0u8..3, 0..4)),
        ) {
            let one = asked(&a, &b, c.as_deref());
            let two = asked(&d, &e, f.as_deref()).to_key();
            let same = (&a, &b, &c) == (&d, &e, &f);
            prop_assert_eq!(one.equivalent(&two), same);
            let state = RandomState::new();
            if same {
                prop_assert_eq!(state.hash_one(one), state.hash_one(&two));
            }
            prop_assert_eq!(one.to_key() == two, same);
        }
    }
}
