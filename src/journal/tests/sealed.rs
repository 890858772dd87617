//! With a key, nothing of an event can be read without it.

use super::*;
use crate::seal::Key;

fn ring(first: u8, others: &[u8]) -> Keyring {
    let key = |byte: &u8| Key::parse(&format!("{byte:02x}").repeat(32)).unwrap();
    Keyring::new(key(&first), others.iter().map(key).collect()).unwrap()
}

fn sealed(first: u8, others: &[u8]) -> Setting {
    Setting {
        keys: Some(ring(first, others)),
        ..Setting::small_from_disk()
    }
}

#[tokio::test]
async fn events_come_back_with_the_key_and_with_a_newer_one_beside_it() {
    let disk = Disk::default();
    let process = sealed(1, &[]).open(&disk);
    process.append(0..10).await.unwrap();
    drop(process);
    let bytes = disk.bytes(&disk.segments()[0]);
    assert!(
        !bytes
            .windows(5)
            .any(|five| five == b"calls" || five == b"{\"n\":")
    );

    for keys in [None, Some(ring(2, &[]))] {
        let setting = Setting {
            keys,
            ..Setting::small()
        };
        let failure = setting.try_open(&disk, None).err().unwrap();
        assert_eq!(failure.losses()[0].cause.reason, "buffer_key");
        assert!(failure.to_string().contains(&ring(1, &[]).id().to_string()));
        // What is settled needs no key.
        drop(setting.try_open(&disk, Some(10)).unwrap());
        disk.change("cursor", |bytes| bytes.clear());
        disk.put("segment-00000000000000000001.log", &bytes);
    }
    let process = sealed(2, &[1]).open(&disk);
    process.append(10..20).await.unwrap();
    assert_eq!(process.drain().await, (0..20).collect::<Vec<_>>());
}

/// Without its header a segment does not name its key before it is read.
#[tokio::test]
async fn a_key_that_is_missed_only_on_reading_is_fatal_and_nothing_is_lost() {
    let disk = Disk::default();
    let process = sealed(1, &[]).open(&disk);
    process.append(0..10).await.unwrap();
    drop(process);
    let name = disk.segments()[0].clone();
    disk.change(&name, |bytes| bytes[..64].fill(0));
    let process = Setting::small().open(&disk);
    let failure = process.outlet().next().await.err().unwrap();
    assert_eq!(failure.losses()[0].cause.reason, "buffer_key");
    assert_eq!(failure.kind(), crate::failure::Kind::Fatal);
    drop(process);
    let process = sealed(1, &[]).open(&disk);
    assert_eq!(process.drain().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_that_was_moved_elsewhere_does_not_open() {
    let disk = Disk::default();
    let process = sealed(1, &[]).open(&disk);
    process.append(0..10).await.unwrap();
    process.append(10..20).await.unwrap();
    drop(process);
    // The second record's payload under the first one's header, with the right checksums.
    let names = disk.segments();
    let (first, second) = (disk.bytes(&names[0]), disk.bytes(&names[1]));
    let header = &first[SEGMENT..SEGMENT + RECORD];
    let payload = &second[SEGMENT + RECORD..];
    let id = inspect_on(&disk, None).unwrap().id.unwrap();
    let salt = format::Salt::new(&id, 1);
    let mut header = format::RecordHeader::read(header, salt).unwrap();
    header.crc = crc32c::crc32c(payload);
    header.stored = payload.len() as u32;
    let mut forged = first[..SEGMENT].to_vec();
    forged.extend(header.bytes(salt));
    forged.extend(payload);
    disk.change(&names[0], |bytes| *bytes = forged);
    let process = sealed(1, &[]).open(&disk);
    assert_eq!(process.drain().await, (10..20).collect::<Vec<_>>());
    assert_eq!(process.dropped("buffer_damaged"), 10);
}

const SEGMENT: usize = format::SEGMENT_HEADER;
const RECORD: usize = format::RECORD_HEADER;
