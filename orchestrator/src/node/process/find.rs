//! Finds a program before anything is spawned, so that what is missing is said in words.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Request;

/// Where a shell looks when nobody says.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The full path of the program of a request.
///
/// # Errors
/// The directory or the program is missing, or cannot be executed.
pub(super) fn program(request: &Request) -> Result<PathBuf, String> {
    let directory = &request.directory;
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return Err(format!(
                "the working directory {} is not a directory",
                directory.display()
            ));
        }
        Err(error) => {
            return Err(format!(
                "the working directory {} cannot be used: {error}",
                directory.display()
            ));
        }
    }
    let name = request.argv.first().map_or("", String::as_str);
    if name.trim().is_empty() {
        return Err(
            "the name of the program is empty: an expression in the command has no value"
                .to_owned(),
        );
    }
    let home = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
    if name.contains('/') {
        let path = home.join(name);
        return match executable(&path) {
            Some(true) => Ok(path),
            Some(false) => Err(format!(
                "{} is there, but it is not an executable file (`chmod +x`?)",
                path.display()
            )),
            None => Err(format!("there is no program {}", path.display())),
        };
    }
    let search = request
        .environment
        .iter()
        .rev()
        .find(|(variable, _)| variable == "PATH")
        .map_or(OsStr::new(USUAL), |(_, value)| value.as_os_str());
    let found = std::env::split_paths(search)
        .map(|folder| home.join(folder).join(name))
        .find(|path| executable(path) == Some(true));
    found.ok_or_else(|| {
        format!(
            "program `{name}` was not found in PATH ({}): install it, add its directory to PATH, or write its full path",
            Path::new(search).display()
        )
    })
}

/// `None`: nothing there.
fn executable(path: &Path) -> Option<bool> {
    let found = std::fs::metadata(path).ok()?;
    Some(found.is_file() && found.permissions().mode() & 0o111 != 0)
}
