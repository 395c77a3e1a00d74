import TLS
import Testing

@Test func settingsAreValues() {
  #expect(TLSServerSettings(hosts: []) == TLSServerSettings(hosts: []))
}
