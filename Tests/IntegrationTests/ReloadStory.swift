import Glibc
import Primitives
import TestClient
import Testing

extension Stories {
  /// What could break: an edit that is not noticed, one that does harm, and one that costs somebody
  /// their connection.
  @Suite struct Reload {
    private let one: Backend
    private let two: Backend

    init() throws {
      one = try Backend { $0.answer("one\n") }
      two = try Backend { $0.answer("two\n") }
    }

    private func stop() {
      one.stop()
      two.stop()
    }

    private func expect(_ door: Portico, _ body: String) throws {
      try eventually("'\(body)' answers", note: door.log) {
        try ask(door.address, "GET", "/").body == body + "\n"
      }
    }

    @Test func everyWayToEditIsNoticed() throws {
      defer { stop() }
      let door = try Portico(configuration([one.address]))
      try expect(door, "one")
      // In place.
      door.edit(configuration([two.address]))
      try expect(door, "two")
      // A new file moved over it, as editors do.
      door.folder.write("new", door.filled(configuration([one.address])))
      rename(door.folder["new"], door.folder["portico.yaml"])
      try expect(door, "one")
      // And again in place: the watch must be on the new file.
      door.edit(configuration([two.address]))
      try expect(door, "two")
      // Gone for a moment, then there again.
      unlink(door.folder["portico.yaml"])
      door.edit(configuration([one.address]))
      try expect(door, "one")
    }

    /// Kubernetes mounts a ConfigMap as links to a folder behind a link, and swaps that one.
    @Test func theSwapOfAConfigMapIsNoticed() throws {
      defer { stop() }
      let door = try Portico(configuration([one.address])) { folder, text in
        mkdir(folder["..1"], 0o700)
        folder.write("..1/portico.yaml", text)
        symlink("..1", folder["..data"])
        symlink("..data/portico.yaml", folder["portico.yaml"])
        return folder["portico.yaml"]
      }
      try expect(door, "one")
      for (version, (backend, name)) in [(two, "two"), (one, "one")].enumerated() {
        let folder = "..\(version + 2)"
        mkdir(door.folder[folder], 0o700)
        door.folder.write(
          "\(folder)/portico.yaml", door.filled(configuration([backend.address])))
        symlink(folder, door.folder["..data_tmp"])
        rename(door.folder["..data_tmp"], door.folder["..data"])
        try expect(door, name)
      }
    }

    /// Without an admin address the control side had no turns: no signal was heard, no edit noticed,
    /// no backend probed.
    @Test func withoutAnAdminAddressEverythingElseWorks() throws {
      defer { stop() }
      func text(_ backend: Backend) -> String {
        configuration([backend.address]).split(separator: "\n")
          .filter { !$0.contains("admin:") }.joined(separator: "\n")
      }
      let door = try Portico(text(one))
      try expect(door, "one")
      door.edit(text(two))
      try expect(door, "two")
      door.process.signal(SIGTERM)
      #expect(try door.process.waitForEnd() == .exited(0))
    }

    @Test func aSignalReloads() throws {
      defer { stop() }
      let door = try Portico(configuration([one.address]))
      for count in 1...3 {
        door.process.signal(SIGHUP)
        try eventually("reload \(count)", note: door.log) {
          try door.metrics().sum("portico_config_reloads_total", "result=\"applied\"")
            == Double(count)
        }
      }
      let reloaded = try door.admin("POST", "/reload")
      #expect(reloaded.status == 200)
      #expect(reloaded.body == "reloaded; nothing changed\n")
    }

    @Test func aBadEditChangesNothingAndIsShown() throws {
      defer { stop() }
      let door = try Portico(configuration([one.address]))
      let before = try door.admin("GET", "/config").body
      door.edit(configuration([two.address]) + "rutes: []\n")
      let line = door.filled(configuration([two.address])).split(
        separator: "\n", omittingEmptySubsequences: false
      ).count
      let complaint =
        "\(door.folder["portico.yaml"]):\(line):1: unknown key 'rutes'; did you mean 'routes'?"
      try eventually("the edit is refused", note: door.log) { door.logged(complaint) > 0 }

      let ready = try door.admin("GET", "/readyz")
      #expect(ready.status == 200)
      #expect(
        ready.body == """
          ready
          pool chat: 1 of 1 backend usable
          the last reload was refused; the configuration before it is in use
          \(complaint)

          """)
      let metrics = try door.metrics()
      #expect(metrics.sum("portico_config_reloads_total", "result=\"rejected\"") == 1)
      #expect(metrics.sum("portico_config_last_reload_success") == 0)
      #expect(try door.admin("GET", "/config").body == before)
      let asked = try door.admin("POST", "/reload")
      #expect(asked.status == 422)
      #expect(
        asked.body
          == "not reloaded; the configuration before it stays in use\n\(complaint)\n")
      #expect(try ask(door.address, "GET", "/").body == "one\n")

      door.edit(configuration([two.address]))
      try expect(door, "two")
      #expect(try door.metrics().sum("portico_config_last_reload_success") == 1)
      #expect(try door.admin("GET", "/readyz").body == "ready\npool chat: 1 of 1 backend usable\n")
    }

    @Test func listenersComeAndGoAndTheOthersStay() throws {
      defer { stop() }
      let second = try Port()
      func text(_ listeners: String...) -> String {
        """
        listeners:
        \(listeners.map { "  - \($0)" }.joined(separator: "\n"))
        admin: {address: ADMIN}
        pools: [{name: chat, backends: ["\(one.address)"]}]
        routes: [{pool: chat}]
        """
      }
      let first = "{address: DOOR}"
      let door = try Portico(text(first))
      let kept = try TestClient(door.address)
      func stays() {
        kept.send(request("GET", "/"))
        #expect(kept.readResponse().body == "one\n")
      }
      stays()
      #expect(isRefused(second.address))

      door.edit(text(first, "{address: \"\(second.text)\"}"))
      try eventually("the second listens", note: door.log) { !isRefused(second.address) }
      #expect(try ask(second.address, "GET", "/").body == "one\n")
      stays()
      let guest = try TestClient(second.address)
      guest.send(request("GET", "/"))
      #expect(guest.readResponse().status == 200)

      door.edit(text(first))
      try eventually("the second is closed", note: door.log) { isRefused(second.address) }
      stays()
      // Who came through it is not thrown out.
      guest.send(request("GET", "/"))
      #expect(guest.readResponse().status == 200)

      // Again, with the first one under another name: it moves without a moment of refusal.
      door.edit(text(first, "{address: \"\(second.text)\", name: again}"))
      try eventually("the second listens", note: door.log) { !isRefused(second.address) }
      stays()
    }

    /// Two things stay as they are until the next start, and who edits them is told.
    @Test func whatCannotChangeIsSaid() throws {
      defer { stop() }
      let door = try Portico(configuration([one.address], top: "loops: 2"))
      let other = try Port()
      door.edit(
        configuration([one.address], top: "loops: 1").split(separator: "ADMIN")
          .joined(separator: other.text))
      try eventually("the edit is taken over", note: door.log) {
        door.logged("admin.address: takes effect at the next start") == 1
      }
      #expect(door.logged("loops: takes effect at the next start") == 1)
      #expect(try door.admin("GET", "/readyz").status == 200)
      #expect(isRefused(other.address))
    }

    /// A listener that cannot be opened is a bad edit like any other.
    @Test func aPortInUseRefusesTheReload() throws {
      defer { stop() }
      let door = try Portico(configuration([one.address]))
      door.edit(
        """
        listeners: [{address: DOOR}, {address: "\(two.address)"}]
        admin: {address: ADMIN}
        pools: [{name: chat, backends: ["\(two.address)"]}]
        routes: [{pool: chat}]
        """)
      try eventually("the edit is refused", note: door.log) {
        door.logged("cannot listen on \(two.address): Address already in use") > 0
      }
      #expect(try ask(door.address, "GET", "/").body == "one\n")
      #expect(try door.metrics().sum("portico_config_last_reload_success") == 0)
    }
  }
}
