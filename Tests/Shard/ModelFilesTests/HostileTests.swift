import Glibc
import JSON
import Primitives
import Testing

@testable import ModelFiles

/// Files that lie in ways nobody thought of. Each ends in a sentence, or in a model whose every
/// number can be read: never in a crash.
struct HostileTests {
  static let tiny = Safe.tinyLlama().file

  @Test func aTruncatedFolderIsRefusedAtEveryLength() throws {
    let folder = try Folder()
    folder.write("config.json", Safe.tinyConfig)
    for length in stride(from: 0, to: Self.tiny.count, by: 7) {
      folder.write("model.safetensors", Self.tiny.prefix(length))
      #expect(refusal(folder.path, in: folder) != nil, "\(length) bytes")
    }
    folder.write("model.safetensors", Self.tiny)
    #expect(refusal(folder.path, in: folder) == nil)
  }

  @Test(arguments: UInt64(0)..<20) func flippedBytesNeverCrashAFolder(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let folder = try Folder()
    folder.write("config.json", Safe.tinyConfig)
    // The header is where a flip matters.
    let length = 8 + Int(Self.tiny.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
    for _ in 0..<25 {
      var file = Self.tiny
      for _ in 0...random.below(4) {
        file[random.below(length)] = UInt8(truncatingIfNeeded: random.next())
      }
      folder.write("model.safetensors", file)
      try openAndRead(folder.path)
    }
  }

  @Test(arguments: UInt64(0)..<20) func flippedBytesNeverCrashAConfig(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let names = ["llama", "qwen3_moe", "deepseek_v2", "deepseek_v3", "bert"]
    let model = try Golden.model(names[random.below(names.count)])
    let config = Array(FamilyTests.text(model.config).utf8)
    let folder = try Folder()
    folder.write(
      "model.safetensors", Safe.file(model.header), size: try FamilyTests.size(model.header))
    for _ in 0..<25 {
      var file = config
      for _ in 0...random.below(3) {
        // Digits make numbers absurd more often than any byte would.
        file[random.below(file.count)] = UInt8(ascii: "0") + UInt8(random.below(10))
      }
      folder.write("config.json", file)
      try openAndRead(folder.path)
    }
  }

  @Test func aTruncatedGGUFIsRefusedAtEveryLength() throws {
    let whole = try Golden.bytes("tiny-llama.gguf")
    let folder = try Folder()
    // Every length within the header, and some within the data.
    for length in Array(stride(from: 0, to: 4096, by: 7)) + [10_000, 50_000, whole.count - 33] {
      folder.write("m.gguf", whole.prefix(length))
      #expect(refusal(folder("m.gguf"), in: folder) != nil, "\(length) bytes")
    }
  }

  @Test(arguments: UInt64(0)..<20) func flippedBytesNeverCrashAGGUF(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let whole = try Golden.bytes("tiny-llama.gguf")
    let folder = try Folder()
    for _ in 0..<25 {
      var file = whole
      for _ in 0...random.below(4) {
        file[random.below(4000)] = UInt8(truncatingIfNeeded: random.next())
      }
      folder.write("m.gguf", file)
      try openAndRead(folder("m.gguf"))
    }
  }

  @Test func whatIsNoFileIsRefused() throws {
    let folder = try Folder()
    folder.write("config.json", Safe.tinyConfig)
    folder.makeFolder("model.safetensors")
    #expect(
      refusal(folder.path, in: folder) == "F/model.safetensors: is a folder where a file should be")
    // A pipe would keep the worker waiting for a writer.
    mkfifo(folder("pipe.gguf"), 0o644)
    #expect(refusal(folder("pipe.gguf"), in: folder) == "F/pipe.gguf: is not a regular file")
    #expect(
      refusal(folder("absent"), in: folder)
        == "F/absent: cannot be opened: No such file or directory; give a model folder or a .gguf"
        + " file")
    #expect(
      refusal("", in: folder) == "'': is not a path; give a model folder or a .gguf file")
    #expect(
      refusal("a\0b", in: folder) == "'a?b': is not a path; give a model folder or a .gguf file")
    folder.write("empty.gguf", "")
    #expect(
      refusal(folder("empty.gguf"), in: folder)
        == "F/empty.gguf: does not begin with 'GGUF': this is not a GGUF file")
  }

  // Root reads everything, so only others can see this.
  @Test(.enabled(if: geteuid() != 0)) func whatMayNotBeReadIsRefused() throws {
    let folder = try Folder()
    folder.write("m.gguf", "GGUF")
    chmod(folder("m.gguf"), 0)
    #expect(
      refusal(folder("m.gguf"), in: folder)
        == "F/m.gguf: cannot be opened: Permission denied")
  }

  private func openAndRead(_ path: String) throws {
    let source: ModelSource
    do { source = try ModelSource.open(path) } catch { return }
    try readAll(source)
  }
}
