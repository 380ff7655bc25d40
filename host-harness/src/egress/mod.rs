//! The way out: which origins a connection may reach, checks of the address that is really
//! connected, no redirects, no proxies, bounded bodies, pooled connections, and a record of what
//! left.

mod address;
mod body;
mod connect;
mod detour;
mod direct;
mod echo;
mod fault;
mod hide;
mod network;
mod origin;
mod record;
mod resolve;
mod sender;
mod tls;

pub use address::reserved;
pub use detour::{Detour, DetourError, Detours};
pub(crate) use direct::{Direct, DirectFault};
pub(crate) use network::Pool;
pub use network::{Network, NetworkError, Policy};
pub(crate) use network::{OperatorsClient, operators_client};
pub use origin::{Mismatch, Origin, OriginError, PinnedOrigin};
pub use record::{CallRecord, Outcome, Recorder, RequestRecord};
pub use resolve::{Resolver, SystemResolver};
pub(crate) use sender::{Sender, Substitution};
pub use tls::{AuthoritiesError, check_authorities};
