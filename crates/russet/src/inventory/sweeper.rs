//! What a quiet shop needs: nobody calls, and what is due must be returned all the same.

use std::{sync::OnceLock, time::Duration};

use super::{Inner, builder::Settings, scripts, scripts::Place};
use crate::{
    client::Russet,
    error::Result,
    service::{Rest, Service},
};

/// The loop of a handle, from its first call on until its last clone is dropped.
#[derive(Default)]
pub(super) struct Sweeper(OnceLock<Service>);

impl Inner {
    /// Begins to sweep, if that is not done yet.
    pub(super) fn keep_swept(&self) {
        self.sweeper.0.get_or_init(|| {
            let Self { russet, place, settings, .. } = self;
            let (russet, place, settings) = (russet.clone(), place.clone(), settings.clone());
            Service::start_on(self.russet.runtime(), "inventory sweeper", move |_| {
                let (russet, place, settings) = (russet.clone(), place.clone(), settings.clone());
                async move { round(&russet, &place, &settings).await }
            })
        });
    }
}

/// Returns some of what is due, and says when to look again: when the next one is due, and no later than the setting says,
/// since others reserve too.
async fn round(russet: &Russet, place: &Place, settings: &Settings) -> Result<Rest> {
    let swept = scripts::sweep(russet, place, settings).await?;
    Ok(Rest::For(match swept.next_due {
        _ if swept.has_more => Duration::ZERO,
        Some(due) => due.clamp(Duration::from_millis(1), settings.sweep_every),
        None => settings.sweep_every,
    }))
}
