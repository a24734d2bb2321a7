//! Packs that nobody would make: without an end, or small and huge once they are taken apart. In: where they go. Out: bytes, until
//! nobody takes them any more.

use anyhow::Result;
use flate2::{Compression, write::ZlibEncoder};
use sha1::{Digest, Sha1};
use std::io::{self, Write};

const MIB: usize = 1 << 20;
/// The kinds of objects in a pack, `gitformat-pack(5)`.
const BLOB: u8 = 3;
const DELTA_BY_OFFSET: u8 = 6;
/// As many as the header of a pack may promise here before it is refused by that alone.
const MANY: u32 = 20_000_000;

/// One valid blob after the other, of so many bytes that cannot be compressed, no two the same, without an end.
pub fn endless(size: usize, out: &mut impl Write) -> Result<()> {
    header(MANY, out)?;
    let mut blob = crate::large::noise(size)?;
    for number in 0_u64.. {
        blob[..8].copy_from_slice(&number.to_le_bytes());
        object(BLOB, size, &[], out)?;
        let mut zlib = ZlibEncoder::new(&mut *out, Compression::none());
        zlib.write_all(&blob)?;
        zlib.finish()?;
    }
    Ok(())
}

/// One blob of so many MiB of zeros, a thousandth of that on the wire.
pub fn inflated(mib: usize, out: &mut impl Write) -> Result<()> {
    whole(1, out, |out| {
        object(BLOB, mib * MIB, &[], out)?;
        zeros(mib, out)
    })
}

/// A blob of one MiB, and a delta that says it so many times over.
pub fn delta(times: usize, out: &mut impl Write) -> Result<()> {
    whole(2, out, |out| {
        let mut base = Vec::new();
        object(BLOB, MIB, &[], &mut base)?;
        zeros(1, &mut base)?;
        out.write_all(&base)?;
        let mut steps = [size_of(MIB), size_of(times * MIB)].concat();
        for _ in 0..times {
            // Copy from the beginning; the size's third byte follows: 0x10_0000.
            steps.extend([0b1100_0000, 0x10]);
        }
        object(DELTA_BY_OFFSET, steps.len(), &offset(base.len()), out)?;
        let mut zlib = ZlibEncoder::new(&mut *out, Compression::best());
        zlib.write_all(&steps)?;
        zlib.finish()?;
        Ok(())
    })
}

fn zeros(mib: usize, out: &mut impl Write) -> Result<()> {
    let mut zlib = ZlibEncoder::new(&mut *out, Compression::best());
    let one = vec![0; MIB];
    for _ in 0..mib {
        zlib.write_all(&one)?;
    }
    zlib.finish()?;
    Ok(())
}

/// With a header, and the checksum that makes it a valid one.
fn whole<W: Write>(
    objects: u32,
    out: &mut W,
    write: impl FnOnce(&mut Summing<'_, W>) -> Result<()>,
) -> Result<()> {
    let mut summing = Summing {
        out,
        sum: Sha1::new(),
    };
    header(objects, &mut summing)?;
    write(&mut summing)?;
    let sum = summing.sum.finalize();
    out.write_all(&sum)?;
    Ok(())
}

fn header(objects: u32, out: &mut impl Write) -> Result<()> {
    out.write_all(b"PACK\0\0\0\x02")?;
    out.write_all(&objects.to_be_bytes())?;
    Ok(())
}

/// How an object begins: four bits of its size beside its kind, then seven a byte, then what it is a delta of.
fn object(kind: u8, size: usize, base: &[u8], out: &mut impl Write) -> Result<()> {
    let (low, rest) = (size & 0xf, size >> 4);
    let first = kind << 4 | low_byte(low);
    if rest == 0 {
        out.write_all(&[first])?;
    } else {
        out.write_all(&[first | 0x80])?;
        out.write_all(&size_of(rest))?;
    }
    out.write_all(base)?;
    Ok(())
}

/// Seven bits a byte, the lowest first.
fn size_of(mut size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while size > 0x7f {
        bytes.push(low_byte(size & 0x7f) | 0x80);
        size >>= 7;
    }
    bytes.push(low_byte(size));
    bytes
}

/// How far back a delta's base lies: seven bits a byte, the highest first, each but the last one less.
fn offset(mut back: usize) -> Vec<u8> {
    let mut bytes = vec![low_byte(back & 0x7f)];
    while back > 0x7f {
        back = (back >> 7) - 1;
        bytes.insert(0, low_byte(back & 0x7f) | 0x80);
    }
    bytes
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

/// Hashes what goes by.
struct Summing<'a, W> {
    out: &'a mut W,
    sum: Sha1,
}

impl<W: Write> Write for Summing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;
    use anyhow::ensure;
    use std::{fs, fs::File, process::Stdio};

    /// What git makes of a pack: the sizes of its objects.
    fn by_git(pack: &[u8]) -> Result<Vec<u64>> {
        let world = World::new()?;
        let folder = world.path("taken");
        let git = |words: &[&str]| {
            let mut command = world.command("git");
            command.arg("-C").arg(&folder).args(words);
            command
        };
        fs::create_dir_all(&folder)?;
        crate::process::run(&mut git(&["init", "-q", "--bare"]))?;
        let file = world.path("pack");
        fs::write(&file, pack)?;
        let taken = git(&["index-pack", "--stdin"])
            .stdin(Stdio::from(File::open(&file)?))
            .output()?;
        ensure!(taken.status.success(), "{taken:?}");
        let sizes = crate::process::run(&mut git(&[
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectsize)",
        ]))?;
        let mut sizes = sizes
            .lines()
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>()?;
        sizes.sort_unstable();
        Ok(sizes)
    }

    #[test]
    fn git_takes_the_bombs_for_what_they_are_meant_to_be() -> Result<()> {
        let (mut blob, mut copies) = (Vec::new(), Vec::new());
        inflated(5, &mut blob)?;
        delta(7, &mut copies)?;
        assert_eq!(by_git(&blob)?, [5 << 20]);
        assert_eq!(by_git(&copies)?, [1 << 20, 7 << 20]);
        assert!(blob.len() < 10_000 && copies.len() < 2_000);
        Ok(())
    }

    #[test]
    fn a_pack_without_an_end_ends_with_whoever_takes_it() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self
                    .0
                    .checked_sub(bytes.len())
                    .ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(endless(1000, &mut Full(100_000)).is_err());
    }
}
