import COpenSSL

/// A SHA-256 as four words, most significant first: sorted and compared without memory of its own.
///
/// Keys are hashed plainly, without salt and without a slow function: those protect passwords, which
/// people think up and which can be guessed. An API key is drawn by a machine from at least 2^128
/// values, so that whoever has the hash cannot find the key by trying, and a hash of 63 ns can be
/// made for each request.
package struct Digest: Sendable, Hashable {
  package let a: UInt64
  package let b: UInt64
  package let c: UInt64
  package let d: UInt64

  package init(of bytes: UnsafeRawBufferPointer) {
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) { out in
      portico_sha256(
        bytes.baseAddress, bytes.count, out.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    a = UInt64(bigEndian: words.0)
    b = UInt64(bigEndian: words.1)
    c = UInt64(bigEndian: words.2)
    d = UInt64(bigEndian: words.3)
  }

  /// Reads 64 hexadecimal digits, in any case.
  package init?(hexadecimal text: String) {
    var words = [UInt64](repeating: 0, count: 4)
    var count = 0
    for byte in text.utf8 {
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46, 0x61...0x66: digit = (byte | 0x20) - 0x57
      default: return nil
      }
      guard count < 64 else { return nil }
      words[count / 16] = words[count / 16] << 4 | UInt64(digit)
      count += 1
    }
    guard count == 64 else { return nil }
    a = words[0]
    b = words[1]
    c = words[2]
    d = words[3]
  }

  package var hexadecimal: String {
    [a, b, c, d].map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }.joined()
  }

  /// Without a branch that depends on where two digests differ.
  package static func == (x: Digest, y: Digest) -> Bool {
    (x.a ^ y.a) | (x.b ^ y.b) | (x.c ^ y.c) | (x.d ^ y.d) == 0
  }
}
