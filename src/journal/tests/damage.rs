//! Damage costs what it hit and no more, is counted to the event, and never keeps a journal closed.

use proptest::prelude::*;

use super::*;

/// Ten segments of ten events, of which the first five events are settled.
async fn filled(disk: &Disk) {
    let setting = Setting::small();
    let process = setting.open(disk);
    for start in 0..10 {
        process.append(start * 10..start * 10 + 10).await.unwrap();
    }
    drop(process);
    let process = setting.try_open(disk, Some(5)).unwrap();
    process.journal.handle.core.settle(5, 5, true);
    drop(process);
    assert_eq!(disk.segments().len(), 10);
}

#[tokio::test]
async fn a_flipped_bit_costs_its_record_and_the_file_is_kept() {
    let disk = Disk::default();
    filled(&disk).await;
    let name = disk.segments()[3].clone();
    disk.change(&name, |file| file[150] ^= 1);
    let setting = Setting::small();
    let process = setting.try_open(&disk, Some(5)).unwrap();
    assert_eq!(process.journal.resumed(), 95);
    let expected: Vec<u64> = (5..30).chain(40..100).collect();
    assert_eq!(process.drain().await, expected);
    assert_eq!(process.dropped("buffer_damaged"), 10);
    assert_eq!(process.journal.stored(), 0);
    drop(process);
    assert_eq!(disk.names(room::DAMAGED), [name]);
    let process = setting.try_open(&disk, Some(100)).unwrap();
    assert_eq!(
        (process.journal.resumed(), process.dropped("buffer_damaged")),
        (0, 0)
    );
}

#[tokio::test]
async fn a_missing_segment_is_a_loss_and_so_is_a_missing_tail() {
    let disk = Disk::default();
    filled(&disk).await;
    let names = disk.segments();
    disk.remove(&names[4]).unwrap();
    disk.change(&names[9], |file| file.truncate(100));
    let process = Setting::small().try_open(&disk, Some(5)).unwrap();
    let expected: Vec<u64> = (5..40).chain(50..90).collect();
    assert_eq!(process.drain().await, expected);
    assert_eq!(process.dropped("buffer_damaged"), 20);
    // New events get new numbers: what was lost is not mistaken for them.
    process.append(100..110).await.unwrap();
    drop(process);
    let process = Setting::small().open(&disk);
    assert_eq!(process.drain().await, (100..110).collect::<Vec<_>>());
    assert_eq!(process.dropped("buffer_damaged"), 0);
}

#[tokio::test]
async fn a_segment_without_a_header_still_has_its_records() {
    let disk = Disk::default();
    filled(&disk).await;
    for name in disk.segments() {
        disk.change(&name, |file| file[..64].fill(0));
    }
    let process = Setting::small().try_open(&disk, Some(5)).unwrap();
    assert_eq!(process.drain().await, (5..100).collect::<Vec<_>>());
    assert_eq!(process.dropped("buffer_damaged"), 0);
}

#[tokio::test]
async fn what_is_newer_or_strange_is_told_or_set_aside() {
    let disk = Disk::default();
    filled(&disk).await;
    disk.put("segment-00000000000000000099.log", b"nothing of ours");
    let mut other = disk.bytes(&disk.segments()[0]);
    other[16] ^= 1;
    let crc = crc32c::crc32c(&other[..60]).to_le_bytes();
    other[60..64].copy_from_slice(&crc);
    disk.put("segment-00000000000000000098.log", &other);
    let process = Setting::small().try_open(&disk, Some(5)).unwrap();
    assert_eq!(process.drain().await, (5..100).collect::<Vec<_>>());
    assert_eq!(disk.names(room::DAMAGED).len(), 2);
    drop(process);

    other[8] = 9;
    let crc = crc32c::crc32c(&other[..60]).to_le_bytes();
    other[60..64].copy_from_slice(&crc);
    disk.put("segment-00000000000000000097.log", &other);
    let failure = Setting::small().try_open(&disk, None).err().unwrap();
    assert_eq!(failure.losses()[0].cause.reason, "buffer_format");
}

/// What is done to the files.
#[derive(Clone, Debug)]
enum Harm {
    Flip(usize, usize),
    Zero(usize, usize, usize),
    Cut(usize, usize),
    Insert(usize, usize, Vec<u8>),
    Copy(usize, usize),
    Remove(usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let (file, at) = (0usize..10, 0usize..420);
    prop_oneof![
        (file.clone(), at.clone()).prop_map(|(file, at)| Harm::Flip(file, at)),
        (file.clone(), at.clone(), 1usize..200).prop_map(|(f, at, n)| Harm::Zero(f, at, n)),
        (file.clone(), at.clone()).prop_map(|(file, at)| Harm::Cut(file, at)),
        (file.clone(), at, prop::collection::vec(any::<u8>(), 1..90))
            .prop_map(|(file, at, bytes)| Harm::Insert(file, at, bytes)),
        (file.clone(), file.clone()).prop_map(|(from, to)| Harm::Copy(from, to)),
        file.prop_map(Harm::Remove),
    ]
}

impl Harm {
    fn make(&self, disk: &Disk, names: &[String]) {
        let there = |file: &usize| disk.segments().contains(&names[*file]);
        match self {
            Harm::Flip(file, at) if there(file) => disk.change(&names[*file], |bytes| {
                let length = bytes.len().max(1);
                bytes
                    .iter_mut()
                    .skip(at % length)
                    .take(1)
                    .for_each(|b| *b ^= 4);
            }),
            Harm::Zero(file, at, count) if there(file) => disk.change(&names[*file], |bytes| {
                bytes.iter_mut().skip(*at).take(*count).for_each(|b| *b = 0);
            }),
            Harm::Cut(file, at) if there(file) => {
                disk.change(&names[*file], |bytes| bytes.truncate(*at));
            }
            Harm::Insert(file, at, new) if there(file) => disk.change(&names[*file], |bytes| {
                let at = (*at).min(bytes.len());
                bytes.splice(at..at, new.iter().copied());
            }),
            Harm::Copy(from, to) if there(from) && there(to) => {
                let other = disk.bytes(&names[*from]);
                disk.change(&names[*to], |bytes| *bytes = other);
            }
            Harm::Remove(file) if there(file) => disk.remove(&names[*file]).unwrap(),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every event that was due comes out or is counted as lost, whatever happens to the segments.
    #[test]
    fn what_does_not_come_out_is_counted_to_the_event(
        harms in prop::collection::vec(harm(), 1..12),
        repaired: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let disk = Disk::default();
            filled(&disk).await;
            let names = disk.segments();
            harms.iter().for_each(|harm| harm.make(&disk, &names));
            let seen = inspect_on(&disk, None).unwrap();
            if repaired {
                repair_on(&disk, None).unwrap();
                let after = inspect_on(&disk, None).unwrap();
                assert_eq!(after.pending_events, seen.pending_events, "repair loses nothing");
                assert!(after.segments.iter().all(|one| one.damaged_bytes == 0 && one.is_headed));
            }
            let process = Setting::small().try_open(&disk, Some(5)).unwrap();
            let all = process.drain().await;
            assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
            assert!(all.iter().all(|number| (5..100).contains(number)));
            let lost = process.dropped("buffer_damaged");
            assert_eq!(all.len() as u64 + lost, 95, "{all:?}");
            assert_eq!(process.journal.stored(), 0);
            drop(process);
            // And it goes on.
            let process = Setting::small().try_open(&disk, Some(100)).unwrap();
            process.append(100..103).await.unwrap();
            assert_eq!(process.drain().await, [100, 101, 102]);
            assert_eq!(process.dropped("buffer_damaged"), 0);
        });
    }
}
