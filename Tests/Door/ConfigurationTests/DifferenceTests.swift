import Primitives
import Testing

@testable import Configuration
@testable import SettingsFile

private let before = """
  listeners:
    - {name: public, address: 127.0.0.1:8080}
    - {name: old, address: 127.0.0.1:8081}
  admin: {address: 127.0.0.1:9900, token: first-token}
  pools:
    - name: chat
      backends:
        - {name: a, address: 127.0.0.1:9001}
        - {name: b, address: 127.0.0.1:9002}
    - {name: gone, backends: [127.0.0.1:9009]}
  routes:
    - {name: one, path: /1, pool: chat}
    - {name: two, path: /2, pool: gone}
    - {name: rest, pool: chat}
  """

private let after = """
  loops: 2
  listeners:
    - {name: public, address: 127.0.0.1:8080, trusted_proxies: [10.0.0.0/8], limits: {body: 1MiB}}
    - {name: new, address: 127.0.0.1:8081}
  admin: {address: 127.0.0.1:9900, token: other-token}
  access_log: {path: stdout}
  pools:
    - {name: fresh, backends: [127.0.0.1:9009]}
    - name: chat
      backends:
        - {name: c, address: 127.0.0.1:9003}
        - {name: b, address: 127.0.0.1:9002, weight: 3}
      health: {}
      timeouts: {connect: 5s, total: 1h}
  routes:
    - {name: two, path: /2, pool: fresh}
    - {name: one, path: /1, refuse: 410}
    - {name: rest, pool: chat}
  """

@Suite struct DifferenceTests {
  // The one line in the log from which an operator sees that a reload did what was meant.
  @Test func saysWhatAReloadChanges() throws {
    let old = try #require(load(before).loaded).settings
    let new = try #require(load(after).loaded).settings
    #expect(
      difference(old: old, new: new) == [
        "loops: auto -> 2",
        "listener 'old' removed",
        "listener 'public': trusted_proxies: [] -> [10.0.0.0/8]",
        "listener 'public': limits.body: off -> 1MiB",
        "listener 'new' added",
        "admin.token: changed",
        "access_log.path: off -> stdout",
        "pool 'gone' removed",
        "pool 'fresh' added",
        "pool 'chat': backend 'a' removed",
        "pool 'chat': backend 'c' added",
        "pool 'chat': backend 'b': weight: 1 -> 3",
        "pool 'chat': health: off -> on",
        "pool 'chat': timeouts.connect: 2s -> 5s",
        "pool 'chat': timeouts.total: off -> 1h",
        "route 'two': pool: gone -> fresh",
        "route 'one': refuse: none -> 410",
        "route 'one': pool: chat -> none",
        "routes: order changed",
      ])
  }

  @Test func saysNothingWithoutChange() throws {
    let settings = try #require(load(before).loaded).settings
    #expect(difference(old: settings, new: settings) == [])
    #expect(difference(old: Settings(), new: Settings()) == [])
  }
}
