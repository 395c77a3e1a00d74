import Primitives
import Routing
import Testing

/// Which pool a request goes to is decided on its bytes. What could break: a rule that a request
/// passes by in another spelling, or a prefix that takes in its neighbours.
@Suite struct RouteTableTests {
  private func table(_ routes: [RouteTable.Route]) -> RouteTable { RouteTable(routes: routes) }

  private func route(
    _ id: Int, host: RouteTable.Host = .any, path: RouteTable.Path = .any,
    methods: [String] = [], _ target: RouteTable.Target? = nil
  ) -> RouteTable.Route {
    RouteTable.Route(
      id: id, host: host, path: path, methods: methods.map { Array($0.utf8) },
      target: target ?? .pool(id))
  }

  private func find(
    _ table: RouteTable, _ path: String, host: String = "a", method: String = "GET"
  ) -> Int? {
    Array(method.utf8).withUnsafeBytes { method in
      Array(host.utf8).withUnsafeBytes { host in
        Array(path.utf8).withUnsafeBytes { path in
          table.find(method: method, authority: host, path: path)?.id
        }
      }
    }
  }

  @Test func theFirstRouteInFileOrderWins() {
    let table = table([
      route(0, path: .exact(Array("/v1/models".utf8))), route(1, path: .prefix(Array("/v1".utf8))),
      route(2),
    ])
    #expect(find(table, "/v1/models") == 0)
    #expect(find(table, "/v1/models/x") == 1)
    #expect(find(table, "/health") == 2)
  }

  @Test(arguments: [
    ("/admin", true), ("/admin/", true), ("/admin/x", true), ("/admin;x", true),
    ("/admin%2fx", true), ("/admin%2Fx", true), ("/administer", false), ("/admin%20x", false),
    ("/Admin", false), ("/x/admin", false), ("/admi", false), ("", false),
  ])
  func aPrefixIsWholeSegmentsInEverySpelling(path: String, matches: Bool) {
    let table = table([route(7, path: .prefix(Array("/admin".utf8)), .refuse(status: 403))])
    #expect((find(table, path) == 7) == matches)
  }

  @Test func aPrefixWithASlashIsWhatLiesBelow() {
    let table = table([route(1, path: .prefix(Array("/v1/".utf8)))])
    #expect(find(table, "/v1/x") == 1)
    #expect(find(table, "/v1") == nil)
  }

  @Test func anEmptyPathIsTheRoot() {
    #expect(find(table([route(1, path: .exact([0x2f]))]), "") == 1)
    #expect(find(table([route(1, path: .prefix([0x2f]))]), "") == 1)
  }

  @Test(arguments: [
    ("api.example.org", 0), ("API.Example.ORG", 0), ("api.example.org:8443", 0),
    ("x.example.org", 1), ("example.org", 2), (".example.org", 2), ("evil-example.org", 2),
    ("[::1]:80", 3), ("[::1]", 3), ("", 2),
  ])
  func hostsMatchWithoutCaseAndPort(host: String, expected: Int) {
    let table = table([
      route(0, host: .exact(Array("api.example.org".utf8))),
      route(1, host: .suffix(Array(".example.org".utf8))),
      route(3, host: .exact(Array("[::1]".utf8))), route(2),
    ])
    #expect(find(table, "/", host: host) == expected)
  }

  @Test func methodsAreExact() {
    let table = table([route(1, methods: ["POST", "QUERY"])])
    #expect(find(table, "/", method: "POST") == 1)
    #expect(find(table, "/", method: "QUERY") == 1)
    #expect(find(table, "/", method: "post") == nil)
    #expect(find(table, "/", method: "GET") == nil)
  }
}
