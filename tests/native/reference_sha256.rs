//! SHA-256 once more, from FIPS 180-4, so that digests are not checked by the code that made them.

/// The first 64 primes' cube roots, the first eight's square roots: 32 bits of their fractions.
fn fractions(root: fn(f64) -> f64, count: usize) -> Vec<u32> {
    let primes = (2_u32..).filter(|number| (2..*number).all(|divisor| !number.is_multiple_of(divisor)));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the definition cuts off")]
    primes.take(count).map(|prime| (root(f64::from(prime)).fract() * 2_f64.powi(32)) as u32).collect()
}

/// The digest of `message` in hexadecimal.
#[expect(clippy::many_single_char_names, reason = "the names of the standard")]
pub fn sha256_hex(message: &[u8]) -> String {
    let constants = fractions(f64::cbrt, 64);
    let mut state = fractions(f64::sqrt, 8);
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((message.len() + 9).next_multiple_of(64) - 8, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words: Vec<u32> =
            block.chunks(4).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four"))).collect();
        for index in 16..64 {
            let (early, late) = (words[index - 15], words[index - 2]);
            let spread_early = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
            let spread_late = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
            let sum = words[index - 16].wrapping_add(spread_early).wrapping_add(words[index - 7]);
            words.push(sum.wrapping_add(spread_late));
        }
        let mut round = state.clone();
        for (constant, word) in constants.iter().zip(words) {
            let [a, b, c, d, e, f, g, h] = round[..] else { panic!("eight words") };
            let first = h
                .wrapping_add(e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25))
                .wrapping_add((e & f) ^ (!e & g))
                .wrapping_add(*constant)
                .wrapping_add(word);
            let second =
                (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add((a & b) ^ (a & c) ^ (b & c));
            round = vec![first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g];
        }
        for (word, added) in state.iter_mut().zip(round) {
            *word = word.wrapping_add(added);
        }
    }
    hex::encode(state.into_iter().flat_map(u32::to_be_bytes).collect::<Vec<u8>>())
}

#[test]
fn the_published_examples_hold() {
    assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(
        sha256_hex(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    );
}
