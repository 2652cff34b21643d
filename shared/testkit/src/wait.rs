//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Polls every 20 ms until `poll` returns a value, and returns it. Fails the test after [`DEADLINE`].
///
/// `condition` is a clause for the failure message, such as "the ingress is ready".
pub async fn eventually<T, F: Future<Output = Option<T>>>(condition: &str, poll: impl FnMut() -> F) -> T {
    eventually_within(DEADLINE, condition, poll).await
}

/// [`eventually`] with another deadline.
pub async fn eventually_within<T, F: Future<Output = Option<T>>>(
    deadline: Duration,
    condition: &str,
    mut poll: impl FnMut() -> F,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(begin.elapsed() < deadline, "waited {deadline:?} in vain until {condition}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
