/// How far the messages of a [`PubSub`](super::PubSub) go: [`Everywhere`] or [`Sharded`].
pub trait Spread: sealed::Spread {}

/// Each node of a Cluster hears every message. A [`PubSub`](super::PubSub) is so unless
/// [`sharded`](super::PubSubBuilder::sharded) is said.
#[derive(Clone, Copy, Debug)]
pub struct Everywhere(());

/// The node of a channel's slot alone hears its messages; [`sharded`](super::PubSubBuilder::sharded) says so.
#[derive(Clone, Copy, Debug)]
pub struct Sharded(());

impl Spread for Everywhere {}
impl Spread for Sharded {}

pub(super) mod sealed {
    pub trait Spread: Send + Sync + 'static {
        const IS_SHARDED: bool;
    }

    impl Spread for super::Everywhere {
        const IS_SHARDED: bool = false;
    }

    impl Spread for super::Sharded {
        const IS_SHARDED: bool = true;
    }
}
