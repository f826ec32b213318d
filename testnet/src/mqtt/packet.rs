//! MQTT 3.1.1 packets, as far as a server that only publishes needs them. Pure.

use bytes::{BufMut, Bytes, BytesMut};

/// Largest packet taken: a subscription of a thousand long filters is far below.
pub const PACKET_MAX: usize = 256 << 10;

/// Level of MQTT 3.1.1, and of its predecessor under the old name.
const LEVEL: u8 = 4;
const OLD_LEVEL: u8 = 3;

/// Quality of service: 0, 1 or 2.
pub type Qos = u8;
const QOS_MAX: Qos = 2;

/// Return codes of CONNACK.
pub const ACCEPTED: u8 = 0;
pub const REFUSED_LEVEL: u8 = 1;
pub const REFUSED_ID: u8 = 2;
/// What the original answers to a protocol it does not know.
pub const REFUSED_PROTOCOL: u8 = 255;

/// What a client may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A client introduces itself.
    Connect { id: String, clean: bool, keep_alive: u16 },
    /// It does, in a way that is refused with this code.
    Refused(u8),
    /// It publishes, which nobody hears.
    Publish,
    /// First half of the receipt of a QoS 2 message.
    PubRec(u16),
    /// Second half, of a message it sent.
    PubRel(u16),
    /// Any other receipt.
    Ack,
    /// Filters with the QoS wanted.
    Subscribe { packet: u16, filters: Vec<(String, Qos)> },
    /// Filters no longer wanted.
    Unsubscribe { packet: u16, filters: Vec<String> },
    /// Still there.
    Ping,
    /// Goodbye.
    Disconnect,
}

/// Bytes that are no packet: the connection is closed without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The next packet in `buffer`, which loses its bytes; `None` while it is incomplete.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Packet>, Malformed> {
    let Some(&first) = buffer.first() else { return Ok(None) };
    // What no client sends is known by its first byte.
    if !matches!(first >> 4, 1 | 3..=8 | 10 | 12 | 14) {
        return Err(Malformed);
    }
    let Some((length, head)) = remaining_length(&buffer[1..])? else { return Ok(None) };
    if length > PACKET_MAX {
        return Err(Malformed);
    }
    let whole = 1 + head + length;
    if buffer.len() < whole {
        return Ok(None);
    }
    let packet = buffer.split_to(whole);
    body(first >> 4, first & 0x0f, &packet[1 + head..]).map(Some)
}

fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0;
    for (position, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Ok(Some((length, position + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed) }
}

fn body(kind: u8, flags: u8, bytes: &[u8]) -> Result<Packet, Malformed> {
    let mut reader = Reader(bytes);
    let packet = match (kind, flags) {
        (1, 0) => return connect(&mut reader),
        (3, _) => return Ok(Packet::Publish),
        (4 | 7, 0) => {
            reader.u16()?;
            Packet::Ack
        }
        (5, 0) => Packet::PubRec(reader.u16()?),
        (6, 2) => Packet::PubRel(reader.u16()?),
        (8, 2) => {
            let packet = reader.packet_id()?;
            let mut filters = vec![];
            while !reader.0.is_empty() {
                let (filter, qos) = (reader.text()?, reader.u8()?);
                if qos > QOS_MAX {
                    return Err(Malformed);
                }
                filters.push((filter, qos));
            }
            Packet::Subscribe { packet, filters }
        }
        (10, 2) => {
            let packet = reader.packet_id()?;
            let mut filters = vec![];
            while !reader.0.is_empty() {
                filters.push(reader.text()?);
            }
            Packet::Unsubscribe { packet, filters }
        }
        (12, 0) => Packet::Ping,
        (14, 0) => Packet::Disconnect,
        _ => return Err(Malformed),
    };
    if reader.0.is_empty() { Ok(packet) } else { Err(Malformed) }
}

const RESERVED: u8 = 0x01;
const CLEAN: u8 = 0x02;
const PASSWORD: u8 = 0x40;
const USER: u8 = 0x80;

fn connect(reader: &mut Reader<'_>) -> Result<Packet, Malformed> {
    let (name, level) = (reader.text()?, reader.u8()?);
    // What follows may look different in another version: name and level decide alone.
    match (name.as_str(), level) {
        ("MQTT", LEVEL) | ("MQIsdp", OLD_LEVEL) => {}
        ("MQTT" | "MQIsdp", _) => return Ok(Packet::Refused(REFUSED_LEVEL)),
        _ => return Ok(Packet::Refused(REFUSED_PROTOCOL)),
    }
    let flags = reader.u8()?;
    if flags & RESERVED != 0 || flags & (PASSWORD | USER) == PASSWORD {
        return Ok(Packet::Refused(REFUSED_PROTOCOL));
    }
    let keep_alive = reader.u16()?;
    let id = reader.text()?;
    let clean = flags & CLEAN != 0;
    if id.is_empty() && !clean {
        return Ok(Packet::Refused(REFUSED_ID));
    }
    // Will, user and password follow; nothing is done with them.
    Ok(Packet::Connect { id, clean, keep_alive })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn packet_id(&mut self) -> Result<u16, Malformed> {
        self.u16().and_then(|id| if id == 0 { Err(Malformed) } else { Ok(id) })
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = self.u16()?;
        let bytes = self.take(length.into())?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed)
    }
}

/// CONNACK.
pub fn connack(session_present: bool, code: u8) -> Bytes {
    Bytes::copy_from_slice(&[0x20, 2, u8::from(session_present), code])
}

/// SUBACK with one code for each filter.
pub fn suback(packet: u16, codes: &[Qos]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0x90);
    put_length(&mut bytes, 2 + codes.len());
    bytes.put_u16(packet);
    bytes.put_slice(codes);
    bytes.freeze()
}

/// UNSUBACK.
pub fn unsuback(packet: u16) -> Bytes {
    with_id(0xb0, packet)
}

/// PUBREL, the answer to PUBREC.
pub fn pubrel(packet: u16) -> Bytes {
    with_id(0x62, packet)
}

/// PUBCOMP, the answer to PUBREL.
pub fn pubcomp(packet: u16) -> Bytes {
    with_id(0x70, packet)
}

/// PINGRESP.
pub fn pingresp() -> Bytes {
    Bytes::from_static(&[0xd0, 0])
}

fn with_id(kind: u8, packet: u16) -> Bytes {
    let [high, low] = packet.to_be_bytes();
    Bytes::copy_from_slice(&[kind, 2, high, low])
}

/// PUBLISH, never retained and never a duplicate. `packet` is used above QoS 0.
pub fn publish(topic: &str, payload: &[u8], qos: Qos, packet: u16, retain: bool) -> Bytes {
    let topic = &topic.as_bytes()[..topic.len().min(usize::from(u16::MAX))];
    let id = if qos > 0 { 2 } else { 0 };
    let length = 2 + topic.len() + id + payload.len();
    let mut bytes = BytesMut::with_capacity(length + 5);
    bytes.put_u8(0x30 | qos << 1 | u8::from(retain));
    put_length(&mut bytes, length);
    bytes.put_u16(topic.len() as u16);
    bytes.put_slice(topic);
    if qos > 0 {
        bytes.put_u16(packet);
    }
    bytes.put_slice(payload);
    bytes.freeze()
}

fn put_length(bytes: &mut BytesMut, mut length: usize) {
    loop {
        let digit = (length & 0x7f) as u8;
        length >>= 7;
        bytes.put_u8(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Packet>, Malformed> {
        decode(&mut BytesMut::from(bytes))
    }

    fn connecting(name: &[u8], level: u8, flags: u8, id: &[u8]) -> Vec<u8> {
        let mut body = vec![0, name.len() as u8];
        body.extend_from_slice(name);
        body.extend_from_slice(&[level, flags, 0, 60, 0, id.len() as u8]);
        body.extend_from_slice(id);
        [&[0x10, body.len() as u8][..], &body].concat()
    }

    #[test]
    fn connects_are_taken_or_refused_with_the_recorded_codes() {
        let accepted = |id: &str, clean| Ok(Some(Packet::Connect { id: id.into(), clean, keep_alive: 60 }));
        assert_eq!(read(&connecting(b"MQTT", 4, 2, b"a")), accepted("a", true));
        assert_eq!(read(&connecting(b"MQIsdp", 3, 2, b"a")), accepted("a", true));
        assert_eq!(read(&connecting(b"MQTT", 4, 0, b"a")), accepted("a", false));
        assert_eq!(read(&connecting(b"MQTT", 4, 2, b"")), accepted("", true));
        let refused = |code| Ok(Some(Packet::Refused(code)));
        assert_eq!(read(&connecting(b"MQTT", 4, 0, b"")), refused(REFUSED_ID));
        assert_eq!(read(&connecting(b"MQTT", 5, 2, b"a")), refused(REFUSED_LEVEL));
        assert_eq!(read(&connecting(b"XXXX", 4, 2, b"a")), refused(REFUSED_PROTOCOL));
    }

    #[test]
    fn packets_may_come_in_pieces_and_together() {
        let bytes = [connecting(b"MQTT", 4, 2, b"a"), vec![0xc0, 0]].concat();
        let mut buffer = BytesMut::new();
        let mut packets = vec![];
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            packets.extend(decode(&mut buffer).expect("well formed"));
        }
        assert!(matches!(packets[..], [Packet::Connect { .. }, Packet::Ping]), "{packets:?}");
    }

    #[test]
    fn odd_filters_are_read_and_odd_qualities_are_not() {
        let subscribe = |qos| [0x82, 8, 0, 7, 0, 3, b'#', b'/', b'x', qos];
        let filters = vec![("#/x".to_owned(), 2)];
        assert_eq!(read(&subscribe(2)), Ok(Some(Packet::Subscribe { packet: 7, filters })));
        assert_eq!(read(&subscribe(3)), Err(Malformed));
        assert_eq!(read(&[0xff]), Err(Malformed));
        assert_eq!(read(&[0x10, 0xff, 0xff, 0xff, 0xff]), Err(Malformed), "a length without end");
        assert_eq!(read(&[0x80, 2, 0, 7]), Err(Malformed), "flags of SUBSCRIBE are 2");
    }

    #[test]
    fn a_long_packet_has_a_long_length() {
        let packet = publish("t", &[9; 20_000], 1, 5, false);
        assert_eq!(packet[..8], [0x32, 0xa5, 0x9c, 0x01, 0, 1, b't', 0]);
        assert_eq!(packet.len(), 1 + 3 + 2 + 1 + 2 + 20_000);
    }
}
