//! Container images without a registry: OCI archives, built from files and cached by content.
//!
//! A program's shared libraries are added, as listed by `ldd`.

use super::{
    oci::{Contents, architecture, digest, write_archive, write_layer},
    programs::{lock, remove_folder},
    state::cache_folder,
};
use crate::{
    prelude::*,
    process::{find_program, run},
};
use sha2::{Digest, Sha256};
use std::os::unix::fs::MetadataExt;

/// User and group of every container; an unprivileged user on the host.
const USER: &str = "65532:65532";
/// A file in every image, so that programs can look up the user's name.
const PASSWD: &str = "root:x:0:0:root:/:/bin/false\nnonroot:x:65532:65532:nonroot:/:/bin/false\n";

/// The content of an image. It has one layer, with an empty world-writable `/tmp`.
#[derive(Debug, Clone)]
pub struct Image {
    entrypoint: String,
    files: BTreeMap<String, Source>,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Text(&'static str),
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Archive {
    pub name: String,
    pub path: PathBuf,
    /// Digest of the manifest, as in containerd: `sha256:…`.
    pub digest: String,
}

impl Image {
    /// An image that starts a program of the host, which is copied to `/bin/<its name>`.
    pub fn of_program(program: &Path) -> Self {
        Self::starting("/bin", program)
    }

    /// Debian's HAProxy, as `/usr/sbin/haproxy`; [`Cluster::up`](super::Cluster::up) installs it.
    pub fn of_haproxy() -> Result<Self> {
        Self::of_daemon("haproxy")
    }

    /// Debian's NGINX, as `/usr/sbin/nginx`, with the libraries of the `agent` that runs in this image too;
    /// [`Cluster::up`](super::Cluster::up) installs it.
    pub fn of_nginx(agent: &Path) -> Result<Self> {
        let libraries = libraries(agent).into_iter();
        Ok(libraries.fold(Self::of_daemon("nginx")?, |image, file| image.with_file(&file, Path::new(&file))))
    }

    fn of_daemon(name: &str) -> Result<Self> {
        let program = find_program(name).with_context(|| format!("{name} is not installed"))?;
        // OpenSSL reads it at its start, from this path of Debian.
        let configuration = Path::new("/etc/ssl/openssl.cnf");
        Ok(Self::starting("/usr/sbin", &program).with_file("/usr/lib/ssl/openssl.cnf", configuration))
    }

    fn starting(folder: &str, program: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let entrypoint = format!("{folder}/{name}");
        let files = BTreeMap::from([("/etc/passwd".to_owned(), Source::Text(PASSWD))]);
        Self { entrypoint: entrypoint.clone(), files }.with_file(&entrypoint, program)
    }

    /// Adds a file of the host; for a program also its shared libraries.
    pub fn with_file(mut self, target: &str, source: &Path) -> Self {
        self.files.insert(target.to_owned(), Source::File(source.to_owned()));
        self
    }

    /// Writes the archive into the cache, unless it is there with exactly these files.
    pub fn build(&self, name: &str) -> Result<Archive> {
        // containerd would look up a short name at Docker's registry.
        let is_full =
            name.split_once('/').is_some_and(|(host, rest)| host.contains('.') && rest.contains(':'));
        ensure!(is_full, "the image name {name:?} must be full, like plimsoll.local/app:1");
        let cache = cache_folder("images")?;
        let folder = cache.join(name.replace(['/', ':'], "_"));
        let _one_writer = lock(&cache.join(".lock"))?;
        let key = self.key(name)?;
        let record = folder.join(format!("{key}.json"));
        let known = fs::read_to_string(&record).ok().and_then(|text| serde_json::from_str(&text).ok());
        if let Some(archive) = known {
            return Ok(archive);
        }
        // Only the newest archive of a name is kept.
        remove_folder(&folder)?;
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{key}.tar"));
        let layer = write_layer(&self.contents()?)?;
        let digest = write_archive(&path, name, &layer, &self.configuration(&layer))
            .with_context(|| format!("cannot write the image {}", path.display()))?;
        let archive = Archive { name: name.to_owned(), path, digest };
        fs::write(record, serde_json::to_string(&archive)?)?;
        Ok(archive)
    }

    /// Key that changes with any input, by size and time of the files as in `make`: hashing a program takes too long.
    fn key(&self, name: &str) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(format!("{name} {}", self.entrypoint));
        for (target, source) in &self.files {
            match source {
                Source::Text(text) => hash.update(format!("{target}\0{text}\0")),
                Source::File(path) => {
                    let of = fs::metadata(path)?;
                    let (size, mode, at, nanoseconds) = (of.size(), of.mode(), of.mtime(), of.mtime_nsec());
                    hash.update(format!("{target}\0{path:?} {size} {at} {nanoseconds} {mode}\0"));
                }
            }
        }
        Ok(format!("{:x}", hash.finalize()).chars().take(16).collect())
    }

    fn contents(&self) -> Result<Contents> {
        let mut contents = Contents::new();
        for (target, source) in &self.files {
            let entry = match source {
                Source::Text(text) => (0o644, text.as_bytes().to_owned()),
                Source::File(path) => read_file(path)?,
            };
            if let Source::File(path) = source
                && entry.1.starts_with(b"\x7fELF")
            {
                for library in libraries(path) {
                    contents.insert(library.clone(), read_file(Path::new(&library))?);
                }
            }
            contents.insert(target.clone(), entry);
        }
        Ok(contents)
    }

    fn configuration(&self, layer: &[u8]) -> Value {
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": [self.entrypoint],
                "User": USER,
                "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "WorkingDir": "/"
            },
            "rootfs": { "type": "layers", "diff_ids": [digest(layer)] }
        })
    }
}

fn read_file(path: &Path) -> Result<(u32, Vec<u8>)> {
    let bytes = fs::read(path)?;
    let executable = fs::metadata(path)?.mode() & 0o111 != 0;
    Ok((if executable { 0o755 } else { 0o644 }, bytes))
}

/// Shared libraries of a program; none when it is linked statically, which `ldd` reports as a failure.
fn libraries(program: &Path) -> Vec<String> {
    run("ldd", &[program]).map(|answer| libraries_in(&answer)).unwrap_or_default()
}

/// Lines are `name => /path (address)`, `/path/of/loader (address)`, or `linux-vdso.so.1 (address)`.
fn libraries_in(answer: &str) -> Vec<String> {
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned);
    answer.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_brings_its_libraries_and_loader() {
        let answer =
            "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld-linux.so.2 (0x3)\n";
        assert_eq!(libraries_in(answer), ["/lib/libc.so.6", "/lib64/ld-linux.so.2"]);
        let contents = Image::of_program(Path::new("/bin/sh")).contents().unwrap();
        assert!(contents.keys().any(|path| path.contains("libc.so")), "{:?}", contents.keys());
    }

    #[test]
    fn haproxy_brings_the_libraries_of_itself_and_of_an_agent_beside_it() {
        let contents = Image::of_haproxy().unwrap().contents().unwrap();
        for part in ["/usr/sbin/haproxy", "libssl.so", "liblua", "libgcc_s.so", "/ld-linux", "openssl.cnf"] {
            assert!(contents.keys().any(|path| path.contains(part)), "{part} in {:?}", contents.keys());
        }
    }

    #[test]
    fn nginx_brings_the_libraries_of_itself_and_of_an_agent_beside_it() {
        let agent = std::env::current_exe().unwrap();
        let contents = Image::of_nginx(&agent).unwrap().contents().unwrap();
        for part in ["/usr/sbin/nginx", "libssl.so", "libpcre", "libgcc_s.so", "/ld-linux", "openssl.cnf"] {
            assert!(contents.keys().any(|path| path.contains(part)), "{part} in {:?}", contents.keys());
        }
    }

    #[test]
    fn a_changed_file_is_another_image() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app");
        fs::write(&file, "one").unwrap();
        let image = Image::of_program(&file);
        let first = image.key("plimsoll.local/app:1").unwrap();
        fs::write(&file, "three").unwrap();
        assert_ne!(first, image.key("plimsoll.local/app:1").unwrap());
    }

    #[test]
    fn a_name_without_a_host_is_refused() {
        let error = Image::of_program(Path::new("/bin/sh")).build("local/app:1").unwrap_err().to_string();
        assert!(error.contains("plimsoll.local/app:1"), "{error}");
    }
}
