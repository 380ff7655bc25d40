//! S9: code that the host did not compile is never run, and components made to keep the compiler busy are stopped
//! where they cannot hurt.

use std::path::Path;
use std::time::Duration;

use wasm_encoder::{BlockType, CodeSection, Function, FunctionSection, Instruction, Module, TypeSection, ValType};

use crate::built;
use crate::figure::{exceptions, figure};
use crate::harness::Harness;

/// The most a compilation may take: resident memory, and processor time, for the machine may have other things to do.
const MOST_MEMORY: u64 = 1 << 30;
const MOST_TIME: Duration = Duration::from_secs(30);

/// A component that claims to be a connector and holds a core module.
fn connector_with(module: &[u8]) -> Vec<u8> {
    let exports = ["action", "catalog", "connection", "event", "types"]
        .map(|name| format!("(export \"workflow:connector/{name}@0.1.0\" (instance $empty))"))
        .concat();
    let shell = wat::parse_str(format!("(component (instance $empty) {exports})")).expect("a component");
    [&shell[..8], &section(1, module), &shell[8..]].concat()
}

/// A section of a component: a core module (1) or a component (4).
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

/// Components in components.
fn deep(depth: u32) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    (0..depth).fold(HEADER.to_vec(), |inner, _| [HEADER, &section(4, &inner)].concat())
}

/// A module of functions that all have the same body and type: an i32 in, an i32 out.
fn module(times: u32, locals: u32, body: impl Fn(&mut Function)) -> Vec<u8> {
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([ValType::I32], [ValType::I32]);
    for _ in 0..times {
        functions.function(0);
        let mut function = Function::new([(locals, ValType::I64)]);
        body(&mut function);
        function.instruction(&Instruction::End);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions);
    module.section(&code);
    module.finish()
}

fn put(function: &mut Function, times: u32, instructions: &[Instruction<'_>]) {
    for _ in 0..times {
        for instruction in instructions {
            function.instruction(instruction);
        }
    }
}

/// Blocks in blocks, each with the given instructions before its end.
fn nested(function: &mut Function, depth: u32, inner: &[Instruction<'_>]) {
    put(function, depth, &[Instruction::Block(BlockType::Empty)]);
    for _ in 0..depth {
        put(function, 1, inner);
        function.instruction(&Instruction::End);
    }
    function.instruction(&Instruction::LocalGet(0));
}

/// What is made to be small to send and dear to take in.
/// With `size` 50 the compiler has to be stopped at many of them, with 1 a test can wait for all.
fn bombs(size: u32) -> Vec<(&'static str, Vec<u8>)> {
    use Instruction as I;
    let same = connector_with;
    let text = |wat: &str| wat::parse_str(wat).expect("a component");
    vec![
        (
            "a body of additions",
            same(&module(1, 0, |f| {
                f.instruction(&I::LocalGet(0));
                put(f, 20_000 * size, &[I::I32Const(1), I::I32Add]);
            })),
        ),
        (
            "a body larger than allowed",
            same(&module(1, 0, |f| {
                f.instruction(&I::LocalGet(0));
                put(f, 4_000_000, &[I::I32Const(1), I::I32Add]);
            })),
        ),
        (
            "results that are all alive at once",
            same(&module(1, 0, |f| {
                put(f, 500_000, &[I::LocalGet(0), I::Call(0)]);
                put(f, 499_999, &[I::I32Xor]);
            })),
        ),
        (
            "fifty thousand locals in a thousand blocks",
            same(&module(1, 49_000, |f| {
                nested(f, 1_000, &[I::LocalGet(0), I::BrIf(0), I::LocalGet(7), I::LocalSet(40_000)]);
            })),
        ),
        ("nested blocks", same(&module(1, 0, |f| nested(f, 20_000 * size, &[I::LocalGet(0), I::BrIf(0)])))),
        (
            "nested loops that all branch outwards",
            same(&module(1, 0, |f| {
                put(f, 3_000, &[I::Loop(BlockType::Empty), I::LocalGet(0), I::BrIf(0)]);
                for depth in 0..3_000 {
                    put(f, 1, &[I::LocalGet(0), I::BrIf(2_999 - depth), I::End]);
                }
                f.instruction(&I::LocalGet(0));
            })),
        ),
        (
            "jump tables of forty thousand targets",
            same(&module(20, 0, |f| {
                let targets: Vec<u32> = (0..40_000).map(|target| target % 1_000).collect();
                put(f, 1_000, &[I::Block(BlockType::Empty)]);
                put(f, 1, &[I::LocalGet(0), I::BrTable(targets.into(), 0)]);
                put(f, 1_000, &[I::End]);
                f.instruction(&I::LocalGet(0));
            })),
        ),
        ("functions without number", same(&module(20_000 * size, 0, |f| put(f, 1, &[I::LocalGet(0)])))),
        ("more functions than allowed", same(&module(1_000_001, 0, |f| put(f, 1, &[I::LocalGet(0)])))),
        (
            "functions with five thousand locals",
            same(&module(1_000 * size, 5_000, |f| {
                put(f, 1, &[I::LocalGet(4_000), I::LocalSet(3_000), I::LocalGet(0)]);
            })),
        ),
        (
            "ten thousand and one instances",
            text(&format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(10_001))),
        ),
        ("components nested a thousand deep", deep(1_000)),
        (
            "types that double a hundred times",
            text(&format!(
                "(component (type $t0 (tuple u8 u8)) {})",
                (1..100).map(|n| format!("(type $t{n} (tuple $t{} $t{}))", n - 1, n - 1)).collect::<String>()
            )),
        ),
        (
            "a memory and a table of everything",
            text("(component (core module (memory 65536 65536) (table 10000000 funcref)))"),
        ),
        ("a file larger than allowed", vec![0; (32 << 20) + 1]),
        ("a section that claims more than there is", {
            let mut bytes = connector_with(&module(1, 0, |f| put(f, 1, &[I::LocalGet(0)])));
            bytes.extend([1, 0xff, 0xff, 0xff, 0xff, 0x0f]);
            bytes
        }),
    ]
}

/// The most memory that a process and its children had resident, and the processor time of its children, as far as
/// both were seen.
fn watch(id: u32) -> (u64, Duration) {
    let peak = |id: &str| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).map(|kilobytes| kilobytes * 1024)
    };
    // User and system time, the 14th and 15th field of proc(5)'s `stat`, in hundredths of a second.
    let spent = |id: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(2);
        Some(Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10))
    };
    let (mut most, mut longest) = (0, Duration::ZERO);
    while let Some(own) = peak(&id.to_string()) {
        most = most.max(own);
        // The children of every thread: whichever started them.
        for task in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            most = most.max(children.split_whitespace().filter_map(peak).max().unwrap_or(0));
            longest = longest.max(children.split_whitespace().filter_map(spent).max().unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    (most, longest)
}

/// How a bomb went off.
struct Blast {
    refused: Result<(), String>,
    took: Duration,
    memory: u64,
}

fn set_off(host: &Harness, name: &str, bytes: &[u8]) -> Blast {
    let file = host.file("bomb.wasm", bytes);
    let started = host.start(&["inspect", &file.to_string_lossy()]);
    let id = started.id();
    let watching = std::thread::spawn(move || watch(id));
    let outcome = started.finish();
    let (memory, took) = watching.join().expect("the watch ends");
    let error = &serde_json::from_str::<serde_json::Value>(&outcome.stdout).unwrap_or_default()["error"];
    let clear = ["message", "remedy"].iter().all(|part| error[part].as_str().is_some_and(|text| !text.is_empty()));
    println!("  {name}: {took:?}, {} MiB, {}", memory >> 20, error["message"]);
    let refused = if outcome.code == 2 && clear { Ok(()) } else { Err(format!("{name}: {outcome:?}")) };
    Blast { refused, took, memory }
}

/// Puts something in the place of what the cache holds of a component; how often that was believed.
fn exchanged(host: &Harness) -> (usize, Vec<String>) {
    let component = built::component("guest_beacon");
    let inspect = || host.run(&["inspect", &component.to_string_lossy()]);
    let genuine = inspect().stdout;
    let entries = |ending: &str| -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(host.home().join("cache")).expect("a cache").flatten().map(|entry| entry.path());
        all.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
    };
    let (mut tried, mut believed) = (0, Vec::new());
    for ending in ["native", "manifest"] {
        let other = {
            host.run(&["inspect", &built::component("guest_hostile").to_string_lossy()]);
            let digest = sha(&built::component("guest_beacon"));
            entries(ending).into_iter().find(|path| !named(path, &digest)).expect("another component's entry")
        };
        let mine = entries(ending).into_iter().find(|path| named(path, &sha(&component))).expect("an entry");
        let whole = std::fs::read(&mine).expect("the entry can be read");
        let changed = |at: usize| {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            changed
        };
        let forgeries = [
            changed(0),
            changed(40),
            changed(whole.len() / 2),
            changed(whole.len() - 1),
            whole[..whole.len() - 1].to_vec(),
            whole[32..].to_vec(),
            [&[0; 32], &whole[32..]].concat(),
            whole[..31].to_vec(),
            Vec::new(),
            std::fs::read(&other).expect("the entry can be read"),
        ];
        for (number, forgery) in forgeries.into_iter().enumerate() {
            std::fs::write(&mine, &forgery).expect("the entry can be written");
            tried += 1;
            let outcome = inspect();
            // What is made anew is the same, and takes the forgery's place.
            let again = std::fs::read(&mine).expect("the entry can be read");
            if outcome.stdout != genuine || again == forgery {
                believed.push(format!("{ending} {number}: {outcome:?}"));
            }
        }
    }
    (tried, believed)
}

fn sha(path: &Path) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(std::fs::read(path).expect("the component can be read")))
}

fn named(path: &Path, digest: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(digest))
}

#[test]
fn s9_only_what_the_host_compiled_is_loaded_and_bombs_go_off_elsewhere() {
    let host = Harness::new();
    let (tried, believed) = exchanged(&host);
    // Compiled code in the place of a component.
    let cache = host.home().join("cache");
    let native = std::fs::read_dir(cache).expect("a cache").flatten().map(|entry| entry.path());
    let native = native.into_iter().find(|path| path.extension().is_some_and(|it| it == "native")).expect("an entry");
    let code = host.file("code.wasm", &std::fs::read(native).expect("the entry can be read")[32..]);
    let handed_in = host.run(&["inspect", &code.to_string_lossy()]).fails(2, "host.component");
    let handed_in = handed_in["message"].as_str().is_some_and(|text| text.contains("compiled code"));

    let all = bombs(1);
    let blasts: Vec<_> = all.iter().map(|(name, bytes)| set_off(&host, name, bytes)).collect();
    let survived: Vec<_> = blasts.iter().filter_map(|blast| blast.refused.clone().err()).collect();
    let slowest = blasts.iter().map(|blast| blast.took).max().unwrap_or_default();
    let largest = blasts.iter().map(|blast| blast.memory).max().unwrap_or_default();
    figure(
        "S9",
        "forged and foreign compiled code; components made to blow up the compiler",
        "0 loads; ≤ 30 s, ≤ 1 GiB; clear error",
        format!(
            "{} of {tried} forgeries believed; compiled code refused: {handed_in}; {} of {} bombs refused, slowest \
             {slowest:.1?}, at most {} MiB{}{}",
            believed.len(),
            all.len() - survived.len(),
            all.len(),
            largest >> 20,
            exceptions(&believed),
            exceptions(&survived)
        ),
        believed.is_empty()
            && handed_in
            && survived.is_empty()
            && all.len() >= 10
            && slowest <= MOST_TIME
            && largest <= MOST_MEMORY,
    );
}

#[test]
#[ignore = "long: minutes of compiling (cargo xtask test --long)"]
fn larger_bombs_are_stopped_too() {
    let host = Harness::new();
    for (name, bytes) in bombs(50) {
        let blast = set_off(&host, name, &bytes);
        assert_eq!(blast.refused, Ok(()));
        assert!(blast.took <= MOST_TIME + Duration::from_secs(2), "{name}: {:?}", blast.took);
        assert!(blast.memory <= MOST_MEMORY, "{name}: {} MiB", blast.memory >> 20);
    }
}

#[test]
#[cfg(unix)]
fn a_component_is_looked_at_where_nothing_may_be_written() {
    let host = Harness::fresh();
    // No folder can be made below a file, whoever asks.
    std::fs::write(host.home(), "in the way").expect("the file can be written");
    let component = built::component("guest_beacon");
    let seen = host.run(&["inspect", &component.to_string_lossy()]).expect(0);
    assert_eq!(seen["manifest"]["connector"]["id"], "beacon");
    let fresh = Harness::fresh();
    fresh.run(&["inspect", &component.to_string_lossy()]).expect(0);
    let mode =
        |path: &Path| std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).expect("it is there")) & 0o777;
    assert_eq!(mode(&fresh.home().join("cache")), 0o700);
    assert!(!fresh.home().join("vault.key").exists(), "looking at a component makes no key");
}
