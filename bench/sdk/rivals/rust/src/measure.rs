// What both programs measure with: CPU time of the calling thread, of the process, allocations.
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub const REPEATS: usize = 5;
pub const SPANS: u64 = 200_000;
pub const PIPELINE_SPANS: u64 = 500_000;
pub const PACED_SPANS_PER_S: u64 = 100_000;
pub const PACED_S: u64 = 3;

pub struct Counting;
static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_COUNTING.load(Relaxed) {
            ALLOCATIONS.fetch_add(1, Relaxed);
        }
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        System.dealloc(pointer, layout)
    }
}

fn cpu_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub fn process_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[values.len() / 2]
}

#[derive(Default)]
pub struct Report(BTreeMap<&'static str, f64>);

impl Report {
    pub fn set(&mut self, key: &'static str, value: f64) {
        self.0.insert(key, value);
    }
    // Nanoseconds of the calling thread a turn.
    pub fn time(&mut self, key: &'static str, mut turn: impl FnMut(u64)) {
        (0..SPANS / 10).for_each(&mut turn);
        let once = |turn: &mut dyn FnMut(u64)| {
            let from = cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID);
            (0..SPANS).for_each(turn);
            (cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID) - from) as f64 / SPANS as f64
        };
        let all = (0..REPEATS).map(|_| once(&mut turn)).collect();
        self.set(key, median(all));
    }
    pub fn count_allocations(&mut self, mut turn: impl FnMut(u64)) {
        (0..1_000).for_each(&mut turn);
        ALLOCATIONS.store(0, Relaxed);
        IS_COUNTING.store(true, Relaxed);
        (0..10_000).for_each(&mut turn);
        IS_COUNTING.store(false, Relaxed);
        self.set("allocations", ALLOCATIONS.load(Relaxed) as f64 / 10_000.0);
    }
    // `flush` ends the export side; `exported` says what came through.
    pub fn pipeline(&mut self, turn: impl Fn(u64) + Sync, flush: impl Fn(), exported: impl Fn() -> u64) {
        (0..10_000).for_each(&turn);
        flush();
        let (seen, from) = (exported(), process_cpu_ns());
        (0..PIPELINE_SPANS).for_each(&turn);
        flush();
        self.set("pipeline_cpu", (process_cpu_ns() - from) as f64 / PIPELINE_SPANS as f64);
        self.set("pipeline_dropped", PIPELINE_SPANS.saturating_sub(exported() - seen) as f64);
        self.set("pipeline_spans", PIPELINE_SPANS as f64);

        let seen = exported();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..PIPELINE_SPANS / 2).for_each(&turn));
            }
        });
        flush();
        self.set("pipeline_2_threads_dropped", PIPELINE_SPANS.saturating_sub(exported() - seen) as f64);
        self.set("pipeline_2_threads_spans", PIPELINE_SPANS as f64);

        let (seen, from, started) = (exported(), process_cpu_ns(), Instant::now());
        let tick_ms = 1;
        let per_tick = PACED_SPANS_PER_S * tick_ms / 1_000;
        for tick in 0..PACED_S * 1_000 / tick_ms {
            (0..per_tick).for_each(&turn);
            let next = Duration::from_millis((tick + 1) * tick_ms);
            std::thread::sleep(next.saturating_sub(started.elapsed()));
        }
        flush();
        let spans = PACED_SPANS_PER_S * PACED_S;
        self.set("pipeline_paced_cpu", (process_cpu_ns() - from) as f64 / spans as f64);
        self.set("pipeline_paced_dropped", spans.saturating_sub(exported() - seen) as f64);
        self.set("pipeline_paced_spans", spans as f64);
    }
    pub fn print(&self) {
        let fields: Vec<String> = self.0.iter().map(|(k, v)| format!("\"{k}\":{v:.2}")).collect();
        println!("{{{}}}", fields.join(","));
    }
}
