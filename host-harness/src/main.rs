//! The binary `harness`: everything is in `host_harness::cli`.

fn main() -> std::process::ExitCode {
    host_harness::cli::main()
}
