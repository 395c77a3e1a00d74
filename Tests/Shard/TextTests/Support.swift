import Glibc
import JSON
import Synchronization
import Testing

@testable import Text

private let goldens =
  #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/Goldens/"

/// A file of Goldens, which make.py wrote.
func golden(_ name: String) throws -> [UInt8] {
  let file = try #require(fopen(goldens + name, "r"), "no golden \(name): run make.py")
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var part = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = fread(&part, 1, part.count, file)
    if count == 0 { return bytes }
    bytes += part[..<count]
  }
}

let families = [
  "gpt2", "llama3", "qwen2", "qwen35", "deepseek3", "deepseek2", "deepseekcoder", "smollm", "flags",
  "bert", "bertcased",
]

/// Loaded once: a debug build takes a tenth of a second for each.
private let loaded = Mutex<[String: Tokenizer]>([:])

func tokenizer(_ family: String) throws -> Tokenizer {
  try loaded.withLock { loaded in
    if let tokenizer = loaded[family] { return tokenizer }
    let tokenizer = try Tokenizer(
      huggingFace: golden(family + ".tokenizer.json"), config: nil)
    loaded[family] = tokenizer
    return tokenizer
  }
}

func corpus() throws -> [String] {
  try JSONValue(golden("corpus.json")).elements.map { try $0.map { try #require($0.text) } } ?? []
}

/// Ids as they come from a buffer of bytes.
func encode(
  _ tokenizer: Tokenizer, _ bytes: [UInt8], trust: Trust = .everywhere, work: inout Int
) -> [Int32] {
  bytes.withUnsafeBytes { tokenizer.encode($0, addSpecial: false, trust: trust, work: &work) }
}

/// Random numbers of the tests: the same for the same seed.
struct TestRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// A tokenizer.json with the parts that a test changes; the rest is the smallest that is taken:
/// bytes `a`, `b`, `c`, merges of `ab` and `abc`.
func minimal(
  model: String = #""vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},"merges":["a b","ab c"]"#,
  pre: String = #"{"type":"ByteLevel","add_prefix_space":false}"#, rest: String = ""
) -> [UInt8] {
  Array(#"{"model":{"type":"BPE",\#(model)},"pre_tokenizer":\#(pre)\#(rest)}"#.utf8)
}

/// The sentence with which a tokenizer is refused.
func refusal(_ file: [UInt8], config: JSONValue? = nil) -> String? {
  do {
    _ = try Tokenizer(huggingFace: file, config: config)
    return nil
  } catch {
    return error.problem
  }
}
