import Primitives
import Testing

@testable import Configuration
@testable import SettingsFile

@Suite struct BadBytesTests {
  // Files as editors, crashes and wrong tools leave them: a sentence with its place, not a crash.
  @Test(arguments: [
    (
      [0x61, 0x3a, 0x20, 0x00], "1:4: a NUL byte: this is not a text file, or it was cut by a crash"
    ),
    ([0x23, 0x0a, 0x61, 0xe9, 0x0a], "2:2: the byte 0xE9 is not UTF-8; save the file as UTF-8"),
    ([0x61, 0xe2, 0x82], "1:2: the byte 0xE2 is not UTF-8; save the file as UTF-8"),
    ([0xc0, 0x80], "1:1: the byte 0xC0 is not UTF-8; save the file as UTF-8"),
    ([0xed, 0xa0, 0x80], "1:1: the byte 0xED is not UTF-8; save the file as UTF-8"),
    ([0xff, 0xfe, 0x61, 0x00], "1:1: this file is UTF-16; save it as UTF-8"),
    ([0x61, 0x0d, 0x0a, 0x62, 0x0d, 0x07], "3:1: the control character 0x07; remove it"),
    (Array("ä\u{85}".utf8), "1:2: the invisible character U+0085; remove it"),
    (Array("a: \u{feff}b".utf8), "1:4: the invisible character U+FEFF; remove it"),
    ([], "1:1: the file is empty; begin with 'listeners:'"),
    ([0xef, 0xbb, 0xbf], "1:1: the file is empty; begin with 'listeners:'"),
    (Array("a: [\u{1F600}, é, @]".utf8), "1:11: a value cannot begin with '@'; put it in quotes"),
  ])
  func complains(bytes: [UInt8], line: String) {
    #expect(load(bytes).lines == ["portico.yaml:" + line])
  }

  // A byte order mark, Windows line ends and a missing last one are no errors.
  @Test func odditiesThatAreFine() {
    let text = """
      \u{feff}listeners: [{address: 127.0.0.1:8080}]\r
      pools: [{name: chat, backends: [127.0.0.1:9001]}]\r
      routes: [{pool: chat}]
      """
    #expect(load(text).lines == [])
    #expect(load(text).loaded != nil)
  }

  @Test func missingFile() {
    #expect(
      ConfigurationLoader().load(path: "/nowhere/portico.yaml", environment: [:]).lines
        == ["portico.yaml: cannot open: No such file or directory"])
    #expect(
      ConfigurationLoader().load(path: "/tmp", environment: [:]).lines
        == ["tmp: cannot read: Is a directory"])
  }

  // A log file given by mistake must not fill the memory.
  @Test func largeFile() {
    let folder = Folder()
    folder.write(
      "portico.yaml", Array(repeating: UInt8(ascii: "#"), count: SourceText.limitBytes + 1))
    #expect(
      folder.load("portico.yaml").lines
        == ["portico.yaml: is larger than 4MiB; split it with 'include'"])
  }

  // A file in the wrong format complains a screenful, not a line for each of its lines.
  @Test func complaintsAreBounded() {
    let result = load((1...200).map { "key\($0)z: 1\n" }.joined())
    guard case .refused(let refused) = result else {
      Issue.record("it was loaded")
      return
    }
    #expect(refused.complaints.count == 50)
    #expect(refused.omitted == 153)
    #expect(result.lines.last == "and 153 more")
  }

  // Cut at any byte, as by a full disk: complaints or settings, and always within the file.
  @Test func truncated() {
    let bytes = contents("vllm-fleet.yaml")
    for count in stride(from: 0, to: bytes.count, by: 3) {
      expectSane(Array(bytes[..<count]))
    }
  }

  // What nobody thought of: bytes changed, removed, doubled and swapped at random.
  @Test(arguments: UInt64(0)..<8) func mutated(seed: UInt64) {
    let bytes = contents("full.yaml")
    var random = SeededRandom(seed: seed)
    let interesting = Array("{}[]:,-#&*!|>'\"%@`\t\n $\\0~<=?".utf8) + [0, 0x80, 0xc3, 0xff]
    for _ in 0..<60 {
      var mutant = bytes
      for _ in 0...random.below(6) {
        let at = random.below(mutant.count)
        switch random.below(5) {
        case 0: mutant[at] = interesting[random.below(interesting.count)]
        case 1: mutant.remove(at: at)
        case 2: mutant.insert(interesting[random.below(interesting.count)], at: at)
        case 3: mutant.swapAt(at, random.below(mutant.count))
        default:
          let end = min(mutant.count, at + random.below(200))
          mutant.insert(contentsOf: mutant[at..<end], at: random.below(mutant.count))
        }
      }
      expectSane(mutant)
    }
  }

  private func contents(_ name: String) -> [UInt8] {
    Array(text(of: "\(repository)/Config/\(name)").utf8)
  }

  /// Settings, or complaints whose places an editor can jump to.
  private func expectSane(_ bytes: [UInt8], _ location: SourceLocation = #_sourceLocation) {
    guard case .refused(let refused) = load(bytes) else { return }
    #expect(!refused.complaints.isEmpty, sourceLocation: location)
    let lines = bytes.split(omittingEmptySubsequences: false) { $0 == 0x0a || $0 == 0x0d }
    for complaint in refused.complaints {
      let isInside =
        (1...(lines.count + 1)).contains(complaint.line) && complaint.column >= 1
        && complaint.column
          <= (complaint.line <= lines.count ? lines[complaint.line - 1].count + 2 : 1)
      #expect(isInside, "\(complaint)", sourceLocation: location)
      #expect(!complaint.message.isEmpty, sourceLocation: location)
    }
  }
}
