//! Writes projections as the projector does.

use domain::event::Recorded;
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::Users;
use domain::view::{Checkpoint, Projection, Views};
use runtime::nats::Nats;
use store::log::{EventLog, ReadFrom};
use store::views::{self, Pointer, pointer_key};

/// Folds all recorded events into the first generation of each projection.
pub async fn all(nats: &Nats, log: &EventLog) {
    let mut recorded = vec![];
    let all_events = log.namespace().events_filter(None, None);
    loop {
        let from = recorded.last().map_or(1, |last: &Recorded| last.sequence + 1);
        let page = log.page(&all_events, ReadFrom::Sequence(from), 500).await.unwrap();
        if page.is_empty() {
            break;
        }
        recorded.extend(page.iter().map(|message| message.decode().unwrap()));
    }
    write::<Users>(nats, log, &fold(&recorded), 1).await;
    write::<Groups>(nats, log, &fold(&recorded), 1).await;
    write::<Activity>(nats, log, &fold(&recorded), 1).await;
}

fn fold<P: Projection>(recorded: &[Recorded]) -> Views<P> {
    let mut views = Views::default();
    for event in recorded {
        views.apply(event);
    }
    views
}

/// Writes a generation, and points readers to it.
pub async fn write<P: Projection>(nats: &Nats, log: &EventLog, views: &Views<P>, generation: u64) {
    let bucket = nats.namespace.projection_bucket(P::NAME, generation);
    runtime::provision::ensure_projection_bucket(nats, &bucket, 1).await.unwrap();
    let checkpoint =
        Checkpoint { epoch: log.epoch().to_owned(), version: P::VERSION, sequence: views.sequence() };
    let entries: Vec<_> = views.iter().map(|(key, view)| (key.clone(), Some(view))).collect();
    views::write_views(nats, &bucket, &entries, &checkpoint, 0).await.unwrap();
    let (meta, key) = (nats.namespace.meta_bucket(), pointer_key(P::NAME));
    let revision = views::read::<Pointer>(nats, &meta, &key).await.unwrap().map_or(0, |entry| entry.revision);
    let pointer = Pointer { generation, version: P::VERSION };
    views::write(nats, &meta, &key, &pointer, revision).await.unwrap();
}
