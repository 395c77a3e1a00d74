import CLinux
import Guard
import Terminal

/// `portico hash-key`.
enum HashKeyCommand {
  static let help = """
    usage: portico hash-key [--new]

    Reads an API key from standard input and prints its SHA-256, as 'api_keys' takes it. The key itself
    belongs in no file of Portico's.

      --new   make a key: 256 random bits; prints it, and its hash on the next line

    example: portico hash-key < key.txt
    """

  /// Characters of a key. Fewer can be found by trying all of them against a plain hash.
  private static let shortest = 20
  private static let longest = 4_096

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    let makesOne = options.flag("--new")
    _ = try options.operands(atMost: 0)
    if makesOne {
      let key = newKey()
      Console.put("\(key)\n\(hash(Array(key.utf8)))\n")
      return 0
    }
    var key = readInput()
    // The line end is the shell's, not the key's.
    while let last = key.last, last == 0x0a || last == 0x0d { key.removeLast() }
    guard !key.isEmpty else {
      return Command.program.failed("no key came; write: portico hash-key < key.txt")
    }
    guard key.count <= longest, key.allSatisfy({ (0x21...0x7e).contains($0) }) else {
      return Command.program.failed(
        "a key is one line of at most \(longest) printable ASCII characters without spaces")
    }
    guard key.count >= shortest else {
      return Command.program.failed(
        "the key has \(key.count) characters, and fewer than \(shortest) can be guessed from "
          + "their hash; 'portico hash-key --new' makes one")
    }
    Console.put(hash(key) + "\n")
    return 0
  }

  private static func hash(_ key: [UInt8]) -> String {
    key.withUnsafeBytes { Digest(of: $0).hexadecimal }
  }

  private static func readInput() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: longest + 3)
    var count = 0
    while count < bytes.count {
      let read = bytes.withUnsafeMutableBytes {
        Int(portico_read(0, $0.baseAddress! + count, $0.count - count))
      }
      if read <= 0 { break }
      count += read
    }
    return Array(bytes[..<count])
  }

  /// `sk-` as people expect it, and 43 characters of base64url. Swift's generator is the kernel's
  /// `getrandom`.
  private static func newKey() -> String {
    let random = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    var text: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for byte in random {
      bits = bits << 8 | UInt32(byte)
      count += 8
      while count >= 6 {
        count -= 6
        text.append(alphabet[Int(bits >> UInt32(count) & 63)])
      }
      bits &= 63
    }
    text.append(alphabet[Int(bits << UInt32(6 - count) & 63)])
    return "sk-" + String(decoding: text, as: UTF8.self)
  }
}
