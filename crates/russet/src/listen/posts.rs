//! The posts at the nodes of a Cluster: one where each sharded channel is heard, or will be.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::runtime::Handle;

use super::{Shared, post};
use crate::{
    client::Post,
    service::{Rest, Service, Signals},
};

/// A post that is kept.
struct Kept {
    number: u64,
    service: Service,
}

/// Starts to keep them.
pub(super) fn start(shared: &Arc<Shared>, runtime: &Handle) -> Service {
    let (shared, on) = (shared.clone(), runtime.clone());
    Service::start_on(runtime, "listeners of a Cluster", move |signals| {
        let (shared, on) = (shared.clone(), on.clone());
        async move { Ok(keep(&shared, &on, &signals).await) }
    })
}

async fn keep(shared: &Arc<Shared>, runtime: &Handle, signals: &Signals) -> Rest {
    let mut posts: HashMap<Post, Kept> = HashMap::new();
    let mut changed = shared.changed.subscribe();
    while !signals.stop.is_cancelled() {
        changed.mark_unchanged();
        let posts_change = shared.subscription.posts_change();
        let (needed, hearing) = needed(shared);
        for post in needed.iter().flatten() {
            posts.entry(post.clone()).or_insert_with(|| {
                let number = shared.number();
                Kept { number, service: post::start(shared, post.clone(), number, runtime) }
            });
        }
        let is_idle = |post: &Post, kept: &Kept| {
            !needed.contains(&Some(post.clone())) && !hearing.contains(&kept.number)
        };
        let idle: Vec<_> = posts.extract_if(|post, kept| is_idle(post, kept)).collect();
        for (_, kept) in idle {
            kept.service.join().await;
        }
        if needed.contains(&None) {
            shared.subscription.look_again();
        }
        tokio::select! {
            () = signals.stop.cancelled() => {}
            Ok(()) = changed.changed() => {}
            () = posts_change => {}
        }
    }
    for kept in posts.into_values() {
        kept.service.join().await;
    }
    Rest::UntilWoken
}

/// Where the sharded channels should be heard, none for one that has no node; and the numbers of the posts that hear one.
fn needed(shared: &Shared) -> (HashSet<Option<Post>>, HashSet<u64>) {
    let all = shared.lock();
    let sharded = || all.values().filter(|channel| channel.slot.is_some());
    let needed = sharded().map(|channel| shared.subscription.post(channel.slot)).collect();
    let hearing = sharded().filter_map(|channel| channel.heard_by).collect();
    (needed, hearing)
}
