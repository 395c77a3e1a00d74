import Testing

@testable import Configuration

/// Files beside the configuration. What could break: a file that is not watched, or whose keys are
/// written into another one.
@Suite struct GuardFileTests {
  private let base = """
    listeners: [{address: 127.0.0.1:8080, access: api_key}]
    pools: [{name: chat, backends: [127.0.0.1:9001]}]
    routes: [{name: chat, pool: chat}]

    """
  private let hash = String(repeating: "0", count: 63)

  private func folder(_ keys: String) -> Folder {
    let folder = Folder()
    folder.write("portico.yaml", Array((base + "api_keys_file: keys.yaml\n").utf8))
    folder.write("keys.yaml", Array(keys.utf8))
    return folder
  }

  @Test func aFileOfKeysIsReadAndWatched() throws {
    let folder = folder("- {name: a, sha256: '\(hash)1'}\n- {name: b, sha256: '\(hash)2'}\n")
    let loaded = try #require(folder.load("portico.yaml").loaded)
    #expect(loaded.settings.fileKeys.map(\.name) == ["a", "b"])
    #expect(loaded.settings.apiKeys.isEmpty)
    #expect(loaded.files.last?.hasSuffix("/keys.yaml") == true)
    #expect(!render(loaded.settings).contains("\(hash)1"))
  }

  /// Complaints stand where the mistake is.
  @Test func aBadFileIsRefusedWithItsOwnPlaces() {
    let folder = folder("- {name: a, sha256: '\(hash)1'}\n- {name: a, sha: x}\n")
    #expect(
      folder.load("portico.yaml").lines == [
        "keys.yaml:2:3: an API key without 'sha256'; write 'sha256: \(hash)0'",
        "keys.yaml:2:10: duplicate API key name 'a'; it is already used on line 1",
        "keys.yaml:2:13: unknown key 'sha'; an API key takes name, sha256, models, routes and limits",
      ])
  }

  @Test func anEmptyFileHasNoKeys() {
    #expect(folder("").load("portico.yaml").loaded?.settings.fileKeys.isEmpty == true)
  }

  @Test func whatChangesInTheFileIsSaid() throws {
    let folder = folder("- {name: a, sha256: '\(hash)1'}\n")
    let before = try #require(folder.load("portico.yaml").loaded).settings
    folder.write(
      "keys.yaml", Array("- {name: a, sha256: '\(hash)1'}\n- {name: b, sha256: '\(hash)2'}".utf8))
    let after = try #require(folder.load("portico.yaml").loaded).settings
    #expect(difference(old: before, new: after) == ["api_keys_file: changed, 1 -> 2 API keys"])
  }
}
