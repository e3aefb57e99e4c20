//! Messages: live ones for who is there, durable ones for who comes later.

mod builder;
mod callback;
mod delivery;
mod event;
mod feed;
mod group;
mod history;
mod live;
mod message_id;
mod pattern;
mod record;
mod scripts;
mod spread;
mod stats;
mod subscription;
mod topic;
mod topic_builder;

pub use builder::PubSubBuilder;
pub use callback::Callback;
pub use delivery::{Acked, TopicDelivery};
pub use event::{Event, OnChannel, Overflow};
pub use group::{Group, GroupOptions};
pub use history::{History, Logged};
pub use live::PubSub;
pub use message_id::{MessageId, Start};
pub use spread::{Everywhere, Sharded, Spread};
pub use stats::{GroupStats, TopicStats};
pub use subscription::Subscription;
pub use topic::{Published, Topic};
pub use topic_builder::TopicBuilder;

/// The largest message, unless set.
const MAX_MESSAGE: usize = 1 << 20;
