//! Cipher block chaining as Plan 9 does it, for whatever block cipher: a zero
//! initial vector, and a tail shorter than a block is XORed with the encryption
//! of the last cipher block.
//!
//! Facts: desCBC.c and aesCBC.c in /sys/src/libsec/port.

use aes::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt};

/// Encrypts in place.
pub(super) fn encrypt<C: BlockCipherEncrypt>(cipher: &C, data: &mut [u8]) {
    let mut iv = Block::<C>::default();
    let mut blocks = data.chunks_exact_mut(iv.len());
    for block in &mut blocks {
        xor(&mut iv, block);
        cipher.encrypt_block(&mut iv);
        block.copy_from_slice(&iv);
    }
    let tail = blocks.into_remainder();
    cipher.encrypt_block(&mut iv);
    xor(tail, &iv);
}

/// The inverse of [`encrypt`] for data of the same length.
pub(super) fn decrypt<C: BlockCipherEncrypt + BlockCipherDecrypt>(cipher: &C, data: &mut [u8]) {
    let mut iv = Block::<C>::default();
    let mut blocks = data.chunks_exact_mut(iv.len());
    for block in &mut blocks {
        let mut b = Block::<C>::default();
        b.copy_from_slice(block);
        let next = b.clone();
        cipher.decrypt_block(&mut b);
        xor(&mut b, &iv);
        block.copy_from_slice(&b);
        iv = next;
    }
    let tail = blocks.into_remainder();
    cipher.encrypt_block(&mut iv);
    xor(tail, &iv);
}

fn xor(to: &mut [u8], with: &[u8]) {
    for (a, b) in to.iter_mut().zip(with) {
        *a ^= b;
    }
}
