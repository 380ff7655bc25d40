//! What the process does, before anything else, so that no secret in its memory ends up elsewhere.

/// Switches core dumps off and keeps what a panic says out of the logs: both would show memory.
pub(super) fn raise() {
    // A process that is closed to inspection cannot look at its own pages any more, unless it has begun to.
    let _ = crate::plugin::finds_dirty_pages();
    no_core_dumps();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!("the host broke off at {place}; what it worked on goes on at the next start");
    }));
}

#[cfg(unix)]
fn no_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let limited = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // A limit of the size does not stop a core dump that goes to another process; this does.
    #[cfg(target_os = "linux")]
    let limited = limited.and(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable));
    if let Err(error) = limited {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
}

#[cfg(not(unix))]
fn no_core_dumps() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn k5_the_process_leaves_no_core_dump() {
        super::no_core_dumps();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
