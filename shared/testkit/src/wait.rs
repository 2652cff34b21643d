//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How long a condition may take before a test fails.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Asks again and again until there is an answer; fails the test, naming what was awaited, after [`DEADLINE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(awaited: &str, ask: impl FnMut() -> F) -> T {
    eventually_within(DEADLINE, awaited, ask).await
}

/// [`eventually`] with a deadline of its own, for what is much work.
pub async fn eventually_within<T, F: Future<Output = Option<T>>>(
    deadline: Duration,
    awaited: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < deadline, "waited {deadline:?} in vain until {awaited}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
