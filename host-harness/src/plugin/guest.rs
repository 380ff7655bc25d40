//! What one instance of a connector sees of the world: the store's data and what is linked.

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::{clocks, io, random};
use wasmtime_wasi_http::{
    ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView,
};

use std::future::Future;
use std::sync::Arc;

use tracing::Instrument as _;

use super::guest_clock::{Clocks, GuestClocks};
use super::limits::{Limits, Meter};
use crate::clock::SharedClock;
use crate::egress::Sender;
use crate::observe::request_span;

/// How many random bytes a guest may ask for at once.
const MOST_RANDOM: u64 = 64 << 10;

/// The data of one call's store.
pub(crate) struct Guest {
    table: ResourceTable,
    http: WasiHttpCtx,
    hooks: Hooks,
    random: GuestRandom,
    pub(crate) meter: Meter,
}

impl Guest {
    pub(crate) fn new(limits: &Limits, clock: &SharedClock, sender: Sender) -> Self {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.field_bytes);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        Self { table, http, hooks: Hooks { sender }, random: GuestRandom(clock.clone()), meter: Meter::new(limits) }
    }

    /// Sends what comes from now on by another sender: a new call in the same instance.
    pub(crate) fn send_by(&mut self, sender: Sender) {
        self.hooks.sender = sender;
    }

    fn clocks(&mut self) -> Clocks<'_> {
        Clocks { clock: &self.random.0, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Sends the guest's requests our way.
struct Hooks {
    sender: Sender,
}

type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>);

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        let sender = self.sender.clone();
        Arc::new(move |name| sender.is_forbidden(name))
    }

    fn is_forbidden_header(&mut self, name: &http::HeaderName) -> bool {
        self.sender.is_forbidden(name)
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 << 10
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _read: Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
    ) -> Box<dyn Future<Output = wasmtime_wasi_http::Result<Sent>> + Send> {
        let span = request_span(self.sender.span(), &request);
        let sending = self.sender.clone().send(request, options.unwrap_or_default()).instrument(span);
        Box::new(async move {
            let response = sending.await?;
            let done: Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send> = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }
}

/// The host's randomness, as the guest sees it.
struct GuestRandom(SharedClock);

impl random::random::Host for GuestRandom {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > MOST_RANDOM {
            wasmtime::bail!("{len} random bytes are more than a guest may ask for at once");
        }
        let mut bytes = vec![0; len as usize];
        self.0.fill_random(&mut bytes);
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.0.fill_random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links what a connector may import, and nothing else.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wasmtime_wasi_http::p2::bindings::{LinkOptions, http as outgoing};
    io::error::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    io::poll::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    io::streams::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    clocks::wall_clock::add_to_linker::<_, GuestClocks>(linker, Guest::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, GuestClocks>(linker, Guest::clocks)?;
    random::random::add_to_linker::<_, HasSelf<GuestRandom>>(linker, |guest| &mut guest.random)?;
    outgoing::outgoing_handler::add_to_linker::<_, WasiHttp>(linker, Guest::http)?;
    outgoing::types::add_to_linker::<_, WasiHttp>(linker, &LinkOptions::default().into(), Guest::http)?;
    Ok(())
}
