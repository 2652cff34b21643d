//! Chooses how webhooks are published: one by one or in batches, whichever JetStream currently acknowledges faster.
//!
//! A batch has a high fixed cost, but JetStream writes it to disk once. So batches are faster if many webhooks wait and
//! the server syncs every message, and slower otherwise (measured). The choice does not ask for the server's settings:
//! it measures how long webhooks wait, tries the other way from time to time, and keeps the faster one.

use std::time::{Duration, Instant};

/// Fewer waiting webhooks are always published one by one: a batch costs the disk as much as about this many (measured).
pub(crate) const MIN_BATCH: usize = 16;

/// The number of acknowledgements that one measurement needs.
const N_SAMPLES: usize = 64;

/// A measurement that takes longer is abandoned, because the load has changed or ended meanwhile.
const MAX_MEASURING: Duration = Duration::from_secs(1);

/// The other way replaces the current one if webhooks wait less than this fraction of the time.
const MIN_GAIN: f64 = 0.9;

/// A trial of the slower way is followed by a pause of at least this many times the time that it lost.
const PAUSE_PER_LOSS: f64 = 100.0;
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// A change of the server's settings is noticed under load after at most this time.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How webhooks are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each alone, all at the same time.
    OneByOne,
    /// Those that wait together in one atomic batch.
    Batches,
}

impl Way {
    fn other(self) -> Self {
        match self {
            Self::OneByOne => Self::Batches,
            Self::Batches => Self::OneByOne,
        }
    }
}

/// Acknowledgements of webhooks that were published the same way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgements {
    pub(crate) way: Way,
    pub(crate) n_webhooks: usize,
    /// The sum of their loads: how many webhooks waited when each one arrived.
    pub(crate) load: usize,
    /// The sum of the times from their arrival to their acknowledgement.
    pub(crate) waited: Duration,
}

/// A state machine without IO: acknowledgements in, the current way out.
#[derive(Debug)]
pub(crate) struct Choice {
    way: Way,
    measurement: Measurement,
    /// The mean wait of the former way, while the current way is on trial.
    former_wait: Option<f64>,
    next_trial: Instant,
    /// The load of the latest trial. A much higher load is a reason for the next one.
    tried_load: usize,
}

#[derive(Debug)]
struct Measurement {
    begin: Instant,
    /// The first acknowledgements after a change of the way, which do not count: the former way affects them.
    n_to_skip: usize,
    n_webhooks: usize,
    load: usize,
    seconds: f64,
}

impl Measurement {
    fn new(begin: Instant, n_to_skip: usize) -> Self {
        Self { begin, n_to_skip, n_webhooks: 0, load: 0, seconds: 0.0 }
    }

    fn add(&mut self, acknowledgements: &Acknowledgements) {
        if self.n_to_skip > 0 {
            self.n_to_skip = self.n_to_skip.saturating_sub(acknowledgements.n_webhooks);
            return;
        }
        self.n_webhooks += acknowledgements.n_webhooks;
        self.load += acknowledgements.load;
        self.seconds += acknowledgements.waited.as_secs_f64();
    }

    /// Mean load and mean wait in seconds, if there are enough samples.
    #[expect(clippy::cast_precision_loss, reason = "a measurement has a few hundred samples")]
    fn result(&self) -> Option<(usize, f64)> {
        let is_complete = self.n_webhooks >= N_SAMPLES;
        is_complete.then(|| (self.load / self.n_webhooks, self.seconds / self.n_webhooks as f64))
    }
}

impl Choice {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            way: Way::OneByOne,
            measurement: Measurement::new(now, 0),
            former_wait: None,
            next_trial: now,
            tried_load: 0,
        }
    }

    /// How to publish webhooks now, if at least [`MIN_BATCH`] wait.
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// Takes acknowledgements of webhooks into account, at least [`MIN_BATCH`] of which were waiting.
    pub(crate) fn record(&mut self, acknowledgements: &Acknowledgements, now: Instant) {
        if now - self.measurement.begin > MAX_MEASURING {
            self.abandon(now);
        }
        if acknowledgements.way != self.way {
            return;
        }
        self.measurement.add(acknowledgements);
        let Some((load, wait)) = self.measurement.result() else { return };
        match self.former_wait.take() {
            None if now >= self.next_trial || load >= 2 * self.tried_load => {
                self.former_wait = Some(wait);
                self.tried_load = load;
                self.switch(load, now);
            }
            None => self.measurement = Measurement::new(now, 0),
            Some(former) => self.end_trial(load, wait, former, now),
        }
    }

    fn end_trial(&mut self, load: usize, wait: f64, former: f64, now: Instant) {
        let lost_share = 1.0 - wait.min(former) / wait.max(former).max(f64::MIN_POSITIVE);
        self.pause((now - self.measurement.begin).mul_f64(lost_share), now);
        if wait < former * MIN_GAIN {
            self.measurement = Measurement::new(now, 0);
        } else {
            self.switch(load, now);
        }
    }

    /// Ends a measurement without a result. A trial without a result has failed.
    fn abandon(&mut self, now: Instant) {
        if self.former_wait.take().is_some() {
            self.pause(MAX_MEASURING, now);
            self.way = self.way.other();
        }
        self.measurement = Measurement::new(now, 0);
    }

    fn switch(&mut self, load: usize, now: Instant) {
        self.way = self.way.other();
        self.measurement = Measurement::new(now, load);
    }

    fn pause(&mut self, loss: Duration, now: Instant) {
        self.next_trial = now + loss.mul_f64(PAUSE_PER_LOSS).clamp(MIN_PAUSE, MAX_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server, described by the seconds that webhooks wait: for each way and load.
    type Server = fn(Way, f64) -> f64;

    /// A server that does not sync: measured with nats-server 2.15.
    fn unsynced(way: Way, load: f64) -> f64 {
        match way {
            Way::OneByOne => 90e-6 + 12e-6 * load,
            Way::Batches => 2.0 * (1.9e-3 + 12e-6 * load / 2.0),
        }
    }

    /// A server with `sync_interval: always`.
    fn synced(way: Way, load: f64) -> f64 {
        match way {
            Way::OneByOne => 170e-6 * load,
            Way::Batches => 2.0 * (2.1e-3 + 18e-6 * load / 2.0),
        }
    }

    struct Run {
        choice: Choice,
        now: Instant,
    }

    impl Run {
        fn new() -> Self {
            let now = Instant::now();
            Self { choice: Choice::new(now), now }
        }

        /// Delivers webhooks, `load` at once, for this long. Returns how many were stored, and the fraction in batches.
        fn deliver(&mut self, server: Server, load: u32, duration: Duration) -> (f64, f64) {
            let end = self.now + duration;
            let (mut n_webhooks, mut n_in_batches) = (0.0, 0.0);
            while self.now < end {
                let way = self.choice.way();
                let wait = server(way, f64::from(load));
                self.now += Duration::from_secs_f64(wait / f64::from(load));
                let waited = Duration::from_secs_f64(wait);
                let acknowledgements = Acknowledgements { way, n_webhooks: 1, load: load as usize, waited };
                self.choice.record(&acknowledgements, self.now);
                n_webhooks += 1.0;
                n_in_batches += if way == Way::Batches { 1.0 } else { 0.0 };
            }
            (n_webhooks, n_in_batches / n_webhooks)
        }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    /// Checks the fraction of webhooks in batches within a minute, and that trials cost at most 2 % of the webhooks.
    fn check(server: Server, load: u32, is_in_batches: impl Fn(f64) -> bool) {
        let (n_webhooks, in_batches) = Run::new().deliver(server, load, MINUTE);
        assert!(is_in_batches(in_batches), "{in_batches} in batches");
        let wait = server(Way::OneByOne, f64::from(load)).min(server(Way::Batches, f64::from(load)));
        let best = MINUTE.as_secs_f64() / (wait / f64::from(load));
        assert!(n_webhooks > 0.98 * best, "{n_webhooks} of {best}");
    }

    #[test]
    fn a_server_that_does_not_sync_gets_webhooks_one_by_one() {
        check(unsynced, 16, |in_batches| in_batches < 0.01);
        check(unsynced, 64, |in_batches| in_batches < 0.01);
        check(unsynced, 256, |in_batches| in_batches < 0.02);
    }

    #[test]
    fn a_server_that_syncs_gets_many_waiting_webhooks_in_batches() {
        check(synced, 64, |in_batches| in_batches > 0.98);
        check(synced, 256, |in_batches| in_batches > 0.98);
        check(synced, 1024, |in_batches| in_batches > 0.98);
    }

    #[test]
    fn a_server_that_syncs_gets_few_waiting_webhooks_one_by_one() {
        check(synced, 16, |in_batches| in_batches < 0.02);
    }

    #[test]
    fn the_first_webhooks_decide() {
        let mut run = Run::new();
        run.deliver(synced, 256, Duration::from_millis(100));
        assert_eq!(run.choice.way(), Way::Batches);
    }

    #[test]
    fn a_changed_server_is_noticed_under_load() {
        let mut run = Run::new();
        for _ in 0..3 {
            run.deliver(unsynced, 256, MINUTE);
            assert!(run.deliver(unsynced, 256, MINUTE).1 < 0.02);
            run.deliver(synced, 256, MAX_PAUSE);
            assert!(run.deliver(synced, 256, MINUTE).1 > 0.98);
        }
    }

    #[test]
    fn a_higher_load_is_tried_at_once() {
        let mut run = Run::new();
        run.deliver(synced, 16, MINUTE);
        assert_eq!(run.choice.way(), Way::OneByOne);
        run.deliver(synced, 256, Duration::from_millis(150));
        assert_eq!(run.choice.way(), Way::Batches);
    }

    #[test]
    fn a_trial_whose_load_ends_is_abandoned() {
        let mut run = Run::new();
        while run.choice.way() == Way::OneByOne {
            run.deliver(unsynced, 64, Duration::from_micros(1));
        }
        run.now += MINUTE;
        run.deliver(unsynced, 64, Duration::from_micros(1));
        assert_eq!(run.choice.way(), Way::OneByOne);
        assert!(run.deliver(unsynced, 64, Duration::from_secs(10)).1 < 0.01);
    }

    #[test]
    fn acknowledgements_of_the_former_way_do_not_count() {
        let mut choice = Choice::new(Instant::now());
        let late = Acknowledgements {
            way: Way::Batches,
            n_webhooks: N_SAMPLES,
            load: N_SAMPLES * 64,
            waited: Duration::from_secs(1),
        };
        choice.record(&late, choice.next_trial);
        assert_eq!(choice.way(), Way::OneByOne);
    }
}
