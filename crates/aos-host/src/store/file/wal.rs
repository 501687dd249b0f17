//! The write-ahead file after a crash: does it end torn, as a crash may leave it, or was it damaged in its middle?
//!
//! SQLite takes over what it holds up to the first frame whose checksum fails and forgets the rest. That is right for
//! the torn end of an unfinished commit and wrong for a flipped bit, which would take back acknowledged commits. So the
//! file is read here first. A later commit in it proves that the spot before it was once synced whole.
//! Read next: "Checksum Algorithm" and "Reading" in SQLite's description of its file format.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::Error;

/// The file's header: magic, format, page size, checkpoint count, two salts, two checksums; four bytes each.
const HEADER_BYTES: usize = 32;
/// A frame's header: page, size after commit, two salts, two checksums; four bytes each. A page follows.
const FRAME_BYTES: usize = 24;
/// The magic without its last bit, which tells the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;
/// How often a file is read again that a writer started over meanwhile.
const ROUNDS: u32 = 16;

/// Fails with [`Error::WalDamaged`] if the write-ahead file of the store at `path` lost something that was committed.
pub fn check(path: &Path) -> Result<(), Error> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let path = PathBuf::from(name);
    let found = (|| {
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        for _ in 0..ROUNDS {
            let before = header(&mut file)?;
            let damage = scan(&mut file, before)?;
            // A writer that starts the file over changes the salts first: then old and new frames were read mixed.
            if damage.is_none() || header(&mut file)? == before {
                return Ok(damage);
            }
        }
        Ok(None)
    })();
    match found {
        Ok(None) => Ok(()),
        Ok(Some(offset)) => Err(Error::WalDamaged { path, offset }),
        Err(source) => Err(Error::Path { path, source }),
    }
}

fn header(file: &mut File) -> io::Result<Option<[u8; HEADER_BYTES]>> {
    file.seek(SeekFrom::Start(0))?;
    let mut header = [0; HEADER_BYTES];
    Ok(fill(file, &mut header)?.then_some(header))
}

/// Reads until `buffer` is full; `false` if the file ends before.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the offset of the first unreadable frame if two commits end at or behind it: the one that it may have
/// belonged to, and one that was begun after that was durable.
fn scan(file: &mut File, header: Option<[u8; HEADER_BYTES]>) -> io::Result<Option<u64>> {
    // A file without a whole header, or with one that was never written, has no frames.
    let Some(header) = header.filter(|header| header.iter().any(|&byte| byte != 0)) else {
        return Ok(None);
    };
    let mut chain = Chain::default();
    let (checked, sums) = header.split_at(HEADER_BYTES - 8);
    chain.big_endian = word(checked, 0) & 1 == 1;
    chain.add(checked);
    let page_bytes = word(checked, 2);
    let page_fits = page_bytes.is_power_of_two() && (512..=65_536).contains(&page_bytes);
    if word(checked, 0) & !1 != MAGIC || !chain.ends_with(sums) || !page_fits {
        // The header is synced before the first frame is written, so it was whole if there is one.
        let longer = file.metadata()?.len() > HEADER_BYTES as u64 + FRAME_BYTES as u64;
        return Ok(longer.then_some(0));
    }
    let salts = (word(checked, 4), word(checked, 5));
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut frame = vec![0; FRAME_BYTES + usize::try_from(page_bytes).unwrap_or(0)];
    let mut offset = HEADER_BYTES as u64;
    let (mut broken, mut commits) = (None, 0);
    while fill(&mut reader, &mut frame)? {
        let (head, page) = frame.split_at(FRAME_BYTES);
        let ours = word(head, 0) != 0 && (word(head, 2), word(head, 3)) == salts;
        if broken.is_none() {
            let (page_and_size, rest) = head.split_at(8);
            chain.add(page_and_size);
            chain.add(page);
            if !ours || !chain.ends_with(rest.split_at(8).1) {
                broken = Some(offset);
            }
        }
        // Without its checksum a frame shows only that something like it was written; that is all we ask.
        if broken.is_some() && ours && word(head, 1) != 0 {
            commits += 1;
        }
        offset = offset.saturating_add(frame.len() as u64);
    }
    Ok(broken.filter(|_| commits >= 2))
}

/// The big-endian word at the `index`-th four bytes; 0 past the end.
fn word(bytes: &[u8], index: usize) -> u32 {
    bytes.as_chunks::<4>().0.get(index).copied().map_or(0, u32::from_be_bytes)
}

/// The running checksum over header and frames.
#[derive(Default)]
struct Chain {
    big_endian: bool,
    sums: (u32, u32),
}

impl Chain {
    fn add(&mut self, bytes: &[u8]) {
        let read = |bytes| if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (mut first, mut second) = self.sums;
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            first = first.wrapping_add(read([a, b, c, d])).wrapping_add(second);
            second = second.wrapping_add(read([e, f, g, h])).wrapping_add(first);
        }
        self.sums = (first, second);
    }

    fn ends_with(&self, sums: &[u8]) -> bool {
        self.sums == (word(sums, 0), word(sums, 1))
    }
}
