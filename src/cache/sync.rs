//! Locks and words that threads share: the standard library's own, and in tests ones that a model can interrupt.
//!
//! * In every build but that of the tests these are the standard library's, under other names: nothing is paid.
//! * In a model (`shuttle`) each operation is a moment at which another thread may go on. What is exchanged by one
//!   operation stays whole; every order of operations is possible. Orderings weaker than SeqCst are not
//!   modelled: what the ledger says rests on none.

#[cfg(not(test))]
pub use std::sync::atomic::{AtomicU64, AtomicUsize};
#[cfg(not(test))]
pub use std::sync::{Mutex, RwLock};

#[cfg(test)]
pub use modelled::{AtomicU64, AtomicUsize, Mutex, RwLock, model};

#[cfg(test)]
mod modelled {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
    use std::sync::atomic::Ordering;
    use std::sync::{
        Arc, LockResult, MutexGuard, Once, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        TryLockResult,
    };

    thread_local! {
        static MODELLED: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs the threads of `threads` in so many orders, the same ones each time.
    pub fn model(orders: usize, threads: impl Fn() + Send + Sync + 'static) {
        let scheduler = shuttle::scheduler::RandomScheduler::new_from_seed(7, orders);
        let mut config = shuttle::Config::new();
        config.stack_size = 1 << 18;
        keep_to_models();
        MODELLED.set(true);
        let runner = shuttle::Runner::new(scheduler, config);
        let done = catch_unwind(AssertUnwindSafe(|| runner.run(threads)));
        MODELLED.set(false);
        if let Err(panic) = done {
            resume_unwind(panic);
        }
    }

    /// What is said of a model's panic is not said of any other test's.
    fn keep_to_models() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let before = Arc::new(take_hook());
            let same = before.clone();
            set_hook(Box::new(move |panic| same(panic)));
            shuttle::check_random(|| {}, 1);
            let with_schedule = take_hook();
            set_hook(Box::new(move |panic| match MODELLED.get() {
                true => with_schedule(panic),
                false => before(panic),
            }));
        });
    }

    /// A moment at which another thread may go on.
    fn point() {
        if MODELLED.get() && !std::thread::panicking() {
            shuttle::thread::yield_now();
        }
    }

    /// In a model a thread that waits for a lock lets the others go on.
    fn acquire<G>(
        attempt: impl Fn() -> TryLockResult<G>,
        wait: impl FnOnce() -> LockResult<G>,
    ) -> LockResult<G> {
        point();
        while MODELLED.get() {
            match attempt() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Err(poisoned),
                Err(TryLockError::WouldBlock) => point(),
            }
        }
        wait()
    }

    #[derive(Debug, Default)]
    pub struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(std::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            acquire(|| self.0.try_lock(), || self.0.lock())
        }
    }

    #[derive(Debug, Default)]
    pub struct RwLock<T>(std::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
            acquire(|| self.0.try_read(), || self.0.read())
        }

        pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
            acquire(|| self.0.try_write(), || self.0.write())
        }
    }

    macro_rules! word {
        ($name:ident, $number:ty) => {
            #[derive(Debug, Default)]
            pub struct $name(std::sync::atomic::$name);

            impl $name {
                pub const fn new(value: $number) -> $name {
                    $name(std::sync::atomic::$name::new(value))
                }

                pub fn load(&self, order: Ordering) -> $number {
                    point();
                    self.0.load(order)
                }

                pub fn fetch_add(&self, n: $number, order: Ordering) -> $number {
                    point();
                    self.0.fetch_add(n, order)
                }

                pub fn fetch_sub(&self, n: $number, order: Ordering) -> $number {
                    point();
                    self.0.fetch_sub(n, order)
                }
            }
        };
    }
    word!(AtomicU64, u64);
    word!(AtomicUsize, usize);
}
