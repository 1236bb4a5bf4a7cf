//! Links in a table of an application: each is fetched while that is possible, and the row then names the copy.
//!
//! A run has two legs. The first reads every link, without fetching any, and lists it by its host and its deadline. The second fetches
//! what is listed, of each host the soonest to expire first, as fast as the host may be asked. A link leaves the list in the transaction
//! that writes down what came of it; a host that fails keeps its own links waiting and nobody else's.
//!
//! A row at each moment:
//! - before: the url column holds the link;
//! - moved: the url column names the copy, and the journal has the link;
//! - restored: every column is as it was before.

mod candidates;
mod cause;
mod config;
mod discord;
mod fetching;
mod intake;
mod items;
mod kind;
mod links;
mod originals;
mod pacing;
mod reached;
mod refresher;
mod renewal;
mod turns;

pub use config::{HostLimit, HostLimits, UrlSource};
pub use discord::Discord;
pub use kind::{Outside, UrlKind};
pub use refresher::{LinkRefresher, RefreshError};
pub use turns::HostTurns;
