//! Packets of `OpenPGP`: RFC 9580 §4.2.

/// A packet, its parts put together.
pub(super) struct Packet {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// A packet may have two bytes, and takes many times that here.
const MAX_PACKETS: usize = 100_000;

/// All packets of a file. `None`: these are none, or the last one is cut.
pub(super) fn split(mut bytes: &[u8]) -> Option<Vec<Packet>> {
    let mut packets = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        if first & 0x80 == 0 {
            return None;
        }
        let packet = if first & 0x40 == 0 {
            Packet {
                tag: first >> 2 & 0x0f,
                body: old(first & 3, &mut bytes)?.to_vec(),
            }
        } else {
            Packet {
                tag: first & 0x3f,
                body: new(&mut bytes)?,
            }
        };
        packets.push(packet);
        if packets.len() > MAX_PACKETS {
            return None;
        }
    }
    Some(packets)
}

/// Of the older form, with a length of one, two or four bytes, or to the end.
fn old<'a>(length: u8, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = match length {
        0 => number::<1>(bytes)?,
        1 => number::<2>(bytes)?,
        2 => number::<4>(bytes)?,
        _ => bytes.len(),
    };
    take(size, bytes)
}

/// Of the newer form, with a length by which the body may come in parts.
fn new(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let first = number::<1>(bytes)?;
        let size = match first {
            0..=191 => first,
            192..=223 => ((first - 192) << 8) + number::<1>(bytes)? + 192,
            224..=254 => {
                body.extend_from_slice(take(1 << (first & 0x1f), bytes)?);
                continue;
            }
            _ => number::<4>(bytes)?,
        };
        body.extend_from_slice(take(size, bytes)?);
        return Some(body);
    }
}

/// A number of so many bytes, the highest first.
fn number<const SIZE: usize>(bytes: &mut &[u8]) -> Option<usize> {
    let digits = take(SIZE, bytes)?;
    Some(
        digits
            .iter()
            .fold(0, |number, &digit| number << 8 | usize::from(digit)),
    )
}

fn take<'a>(size: usize, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(size)?;
    *bytes = rest;
    Some(taken)
}
