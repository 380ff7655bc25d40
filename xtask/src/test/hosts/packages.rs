//! What the runners need from the package registries of Python and Node, in pinned
//! versions, in a folder under `target/`.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::workspace::{Workspace, run_visibly};

/// Installed packages, and the runners beside them: Node looks for packages from the
/// folder of the script upwards, so the scripts are copied to where the packages are.
pub(crate) struct Packages {
    scripts: PathBuf,
    python: PathBuf,
}

impl Packages {
    /// Installs what is not installed yet. The first time needs a network.
    pub(crate) fn provide(workspace: &Workspace) -> Result<Self> {
        let home = workspace.target().join("hosts");
        let scripts = home.join("scripts");
        copy(&workspace.root().join("tests/hosts"), &scripts)?;
        let packages = Self { python: interpreter(&home.join("venv")), scripts };
        packages.provide_python(&home.join("venv"))?;
        packages.provide_node()?;
        Ok(packages)
    }

    /// The folder that holds `venv` and `scripts`.
    pub(crate) fn folder(&self) -> &Path {
        self.scripts.parent().unwrap_or(&self.scripts)
    }

    pub(super) fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(script).current_dir(&self.scripts);
        command
    }

    pub(super) fn node(&self, script: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(script).current_dir(&self.scripts);
        command
    }

    fn provide_python(&self, venv: &Path) -> Result<()> {
        let wanted = self.scripts.join("requirements.txt");
        let stamp = venv.join("installed.txt");
        if same(&wanted, &stamp) && self.python.exists() {
            return Ok(());
        }
        eprintln!("Installing the Python packages of the other hosts …");
        run_visibly(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv), "python3 -m venv")
            .context("Python 3 with its venv module is needed (Debian: apt install python3-venv)")?;
        let mut pip = Command::new(&self.python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
        run_visibly(&mut pip, "pip install")?;
        fs::copy(&wanted, &stamp).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(())
    }

    fn provide_node(&self) -> Result<()> {
        let wanted = self.scripts.join("package-lock.json");
        let stamp = self.scripts.join("node_modules/installed.json");
        if same(&wanted, &stamp) {
            return Ok(());
        }
        let version = Command::new("node").arg("--version").stdout(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            bail!("Node is needed for the other hosts (Debian: apt install nodejs npm)");
        }
        eprintln!("Installing the Node packages of the other hosts …");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&self.scripts);
        run_visibly(&mut npm, "npm ci")?;
        fs::copy(&wanted, &stamp).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(())
    }
}

fn interpreter(venv: &Path) -> PathBuf {
    if cfg!(windows) { venv.join("Scripts/python.exe") } else { venv.join("bin/python") }
}

/// Whether both files are there and hold the same.
fn same(one: &Path, other: &Path) -> bool {
    match (fs::read(one), fs::read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Copies a folder's files over those of another; what is only in the other stays.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{} is missing from this clone", from.display()),
        entries => entries.with_context(|| format!("cannot read {}", from.display()))?,
    };
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in entries {
        let entry = entry?;
        let (source, copied) = (entry.path(), to.join(entry.file_name()));
        if !entry.file_type()?.is_dir() {
            fs::copy(&source, &copied).with_context(|| format!("cannot write {}", copied.display()))?;
        } else if entry.file_name() != OsStr::new("node_modules") && entry.file_name() != OsStr::new("__pycache__") {
            copy(&source, &copied)?;
        }
    }
    Ok(())
}
