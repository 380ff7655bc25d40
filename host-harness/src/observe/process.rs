//! What the process uses of the machine, under the names that Prometheus' own clients use.

/// Resident memory and open files, where the system tells.
#[cfg(target_os = "linux")]
pub(super) fn usage() -> Vec<(&'static str, &'static str, f64)> {
    let mut found = Vec::new();
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    if let Some(pages) = pages.and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok()) {
        let bytes = pages * rustix::param::page_size() as f64;
        found.push(("process_resident_memory_bytes", "Memory of the process that is in RAM.", bytes));
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // Less the one that this look opens.
        found.push(("process_open_fds", "Files and sockets that are open.", (files.count() as f64 - 1.0).max(0.0)));
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        found.push(("process_max_fds", "How many files and sockets may be open.", most as f64));
    }
    found
}

/// Other systems tell in other ways; there the service manager shows it.
#[cfg(not(target_os = "linux"))]
pub(super) fn usage() -> Vec<(&'static str, &'static str, f64)> {
    Vec::new()
}
