//! One table of tricks with their outcomes, the bounds, and two laws: one normal form, and no text that makes it panic.

use proptest::prelude::*;

use super::*;

/// Parses and prints what the gate judges, or the refusal.
fn outcome(text: &str) -> String {
    match Target::parse(text) {
        Ok(target) => {
            let again = Target::parse(&target.url);
            assert_eq!(again.as_ref(), Ok(&target), "`{text}` has no normal form");
            format!("{} {} {} {}", target.host, target.port, target.path, target.url)
        }
        Err(refused) => format!("{refused:?} {}", refused.code()),
    }
}

#[test]
fn a_trick_is_seen_through_or_refused() {
    let table = [
        // Plain ones, and one spelling of many.
        "https://api.example.com",
        "HTTPS://API.Example.COM/v1/?q=%41#part",
        "https://api.example.com:443/",
        "http://api.example.com:443/",
        "https://api.example.com:/",
        "https://api.example.com:0443/",
        "https://api.example.com./",
        "https://api.example.com../",
        "https://api..example.com/",
        "https://api.example.com?x",
        "https://api.example.com#@evil.test/",
        "https://api.example.com?@evil.test/",
        // Somebody in front of the host.
        "https://api.example.com@evil.test/",
        "https://user:secret@api.example.com/",
        "https://@api.example.com/",
        "https://api.example.com%40evil.test/",
        "https://api.example.com%2f@evil.test/",
        // Characters that parsers drop or turn.
        "https://api.example.com\\@evil.test/",
        "https:\\\\api.example.com/",
        "https://api.example.com/\t../x",
        "ht\ntps://api.example.com/",
        " https://api.example.com/",
        "https://api.example.com/ ",
        "https://api.example.com/\u{0}",
        "https://api.example.com\u{a0}/",
        "https://api.example.com\u{2028}/",
        // Forms that only some parsers take.
        "https:api.example.com/",
        "https:/api.example.com/",
        "https:///api.example.com/",
        "//api.example.com/",
        "/v1",
        "",
        "https://",
        "https:///",
        "https://?x",
        // Schemes.
        "ftp://api.example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://api.example.com/",
        "ws://api.example.com/",
        // Addresses in disguise.
        "http://127.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://2130706433/",
        "http://127.0.0.1./",
        "http://\u{2460}\u{2461}\u{2466}.0.0.1/",
        "http://\u{ff11}27.0.0.1/",
        "http://127\u{3002}0\u{3002}0\u{3002}1/",
        "http://256.0.0.1/",
        "http://1.2.3.4.5/",
        "http://0/",
        "http://[::1]/",
        "http://[0:0:0:0:0:0:0:1]:8080/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1/",
        "http://::1/",
        "http://[::1].example.com/",
        // Names that look like others.
        "http://b\u{fc}cher.example/",
        "http://xn--bcher-kva.example/",
        "http://XN--BCHER-KVA.example/",
        "http://ex\u{430}mple.com/",
        "http://exam\u{ad}ple.com/",
        "http://example\u{ff0e}com/",
        "http://example\u{2024}com/",
        "http://\u{210c}ost.example/",
        "http://xn--a.example/",
        "http://faß.example/",
        // Hosts that are none.
        "http://%65xample.com/",
        "http://exa mple.com/",
        "http://*.example.com/",
        "http://ex,ample.com/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:8o/",
        "http://example.com:80:80/",
        "http://example.com:-1/",
        // Ways out of a path prefix.
        "http://h/v1/../admin",
        "http://h/v1/%2e%2e/admin",
        "http://h/v1/.%2E/admin",
        "http://h/v1/./x/.",
        "http://h/../../x",
        "http://h/v1/..%2fadmin",
        "http://h/v1%2f..%2fadmin",
        "http://h/v1/..%5cadmin",
        "http://h/v1/..\\admin",
        "http://h/v1/%252e%252e/admin",
        "http://h/v1/%25252e/admin",
        "http://h/v1/%252f../admin",
        "http://h/v1/..;/admin",
        "http://h/v1/..;a=b/admin",
        "http://h/v1/%2e%2e%3badmin",
        "http://h/v1/.;/x",
        "http://h/v1/...;/x",
        "http://h/v1/%00/x",
        "http://h/v1/%zz",
        "http://h/v1/%4",
        "http://h/v1/%",
        "http://h/v1//admin",
        "http://h//admin",
        "http://h/v1/100%25",
        "http://h/%76%31/%61dmin",
        "http://h/caf\u{e9}",
        "http://h/caf%c3%a9",
        "http://h/a%21b",
        "http://h/a b",
        "http://h/\"<>`{}|^",
        "http://h/v1/%2e%2e;/../x",
    ];
    let lines: Vec<String> =
        table.iter().map(|text| format!("{:<44} {}", text.escape_debug().to_string(), outcome(text))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
        https://api.example.com                      api.example.com 443 / https://api.example.com/
        HTTPS://API.Example.COM/v1/?q=%41#part       api.example.com 443 /v1/ https://api.example.com/v1/?q=%41
        https://api.example.com:443/                 api.example.com 443 / https://api.example.com/
        http://api.example.com:443/                  api.example.com 443 / http://api.example.com:443/
        https://api.example.com:/                    api.example.com 443 / https://api.example.com/
        https://api.example.com:0443/                api.example.com 443 / https://api.example.com/
        https://api.example.com./                    api.example.com 443 / https://api.example.com/
        https://api.example.com../                   Host http.url
        https://api..example.com/                    Host http.url
        https://api.example.com?x                    api.example.com 443 / https://api.example.com/?x
        https://api.example.com#@evil.test/          api.example.com 443 / https://api.example.com/
        https://api.example.com?@evil.test/          api.example.com 443 / https://api.example.com/?@evil.test/
        https://api.example.com@evil.test/           UserInfo http.url
        https://user:secret@api.example.com/         UserInfo http.url
        https://@api.example.com/                    UserInfo http.url
        https://api.example.com%40evil.test/         Host http.url
        https://api.example.com%2f@evil.test/        UserInfo http.url
        https://api.example.com\\@evil.test/         Character http.url
        https:\\\\api.example.com/                   Character http.url
        https://api.example.com/\t../x               Character http.url
        ht\ntps://api.example.com/                   Character http.url
         https://api.example.com/                    Character http.url
        https://api.example.com/                     Character http.url
        https://api.example.com/\0                   Character http.url
        https://api.example.com\u{a0}/               Character http.url
        https://api.example.com\u{2028}/             Character http.url
        https:api.example.com/                       Form http.url
        https:/api.example.com/                      Form http.url
        https:///api.example.com/                    Host http.url
        //api.example.com/                           Form http.url
        /v1                                          Form http.url
                                                     Form http.url
        https://                                     Host http.url
        https:///                                    Host http.url
        https://?x                                   Host http.url
        ftp://api.example.com/                       Scheme http.scheme
        file:///etc/passwd                           Scheme http.scheme
        javascript:alert(1)                          Scheme http.scheme
        gopher://api.example.com/                    Scheme http.scheme
        ws://api.example.com/                        Scheme http.scheme
        http://127.1/                                127.0.0.1 80 / http://127.0.0.1/
        http://0x7f.1/                               127.0.0.1 80 / http://127.0.0.1/
        http://0x7f000001/                           127.0.0.1 80 / http://127.0.0.1/
        http://017700000001/                         127.0.0.1 80 / http://127.0.0.1/
        http://2130706433/                           127.0.0.1 80 / http://127.0.0.1/
        http://127.0.0.1./                           127.0.0.1 80 / http://127.0.0.1/
        http://①②⑦.0.0.1/                            127.0.0.1 80 / http://127.0.0.1/
        http://１27.0.0.1/                            127.0.0.1 80 / http://127.0.0.1/
        http://127。0。0。1/                            127.0.0.1 80 / http://127.0.0.1/
        http://256.0.0.1/                            Host http.url
        http://1.2.3.4.5/                            Host http.url
        http://0/                                    0.0.0.0 80 / http://0.0.0.0/
        http://[::1]/                                [::1] 80 / http://[::1]/
        http://[0:0:0:0:0:0:0:1]:8080/               [::1] 8080 / http://[::1]:8080/
        http://[::ffff:127.0.0.1]/                   [::ffff:7f00:1] 80 / http://[::ffff:7f00:1]/
        http://[::127.0.0.1]/                        [::7f00:1] 80 / http://[::7f00:1]/
        http://[fe80::1%25eth0]/                     Host http.url
        http://[fe80::1%eth0]/                       Host http.url
        http://[::1/                                 Host http.url
        http://::1/                                  Host http.url
        http://[::1].example.com/                    Host http.url
        http://bücher.example/                       xn--bcher-kva.example 80 / http://xn--bcher-kva.example/
        http://xn--bcher-kva.example/                xn--bcher-kva.example 80 / http://xn--bcher-kva.example/
        http://XN--BCHER-KVA.example/                xn--bcher-kva.example 80 / http://xn--bcher-kva.example/
        http://exаmple.com/                          xn--exmple-4nf.com 80 / http://xn--exmple-4nf.com/
        http://exam\u{ad}ple.com/                    example.com 80 / http://example.com/
        http://example．com/                          example.com 80 / http://example.com/
        http://example․com/                          Host http.url
        http://ℌost.example/                         host.example 80 / http://host.example/
        http://xn--a.example/                        Host http.url
        http://faß.example/                          xn--fa-hia.example 80 / http://xn--fa-hia.example/
        http://%65xample.com/                        Host http.url
        http://exa mple.com/                         Character http.url
        http://*.example.com/                        Host http.url
        http://ex,ample.com/                         Host http.url
        http://example.com:99999/                    Port http.url
        http://example.com:0/                        Port http.url
        http://example.com:8o/                       Port http.url
        http://example.com:80:80/                    Port http.url
        http://example.com:-1/                       Port http.url
        http://h/v1/../admin                         h 80 /admin http://h/admin
        http://h/v1/%2e%2e/admin                     h 80 /admin http://h/admin
        http://h/v1/.%2E/admin                       h 80 /admin http://h/admin
        http://h/v1/./x/.                            h 80 /v1/x/ http://h/v1/x/
        http://h/../../x                             h 80 /x http://h/x
        http://h/v1/..%2fadmin                       Path http.url
        http://h/v1%2f..%2fadmin                     Path http.url
        http://h/v1/..%5cadmin                       Path http.url
        http://h/v1/..\\admin                        Character http.url
        http://h/v1/%252e%252e/admin                 Path http.url
        http://h/v1/%25252e/admin                    Path http.url
        http://h/v1/%252f../admin                    Path http.url
        http://h/v1/..;/admin                        Path http.url
        http://h/v1/..;a=b/admin                     Path http.url
        http://h/v1/%2e%2e%3badmin                   Path http.url
        http://h/v1/.;/x                             Path http.url
        http://h/v1/...;/x                           h 80 /v1/...;/x http://h/v1/...;/x
        http://h/v1/%00/x                            Path http.url
        http://h/v1/%zz                              Path http.url
        http://h/v1/%4                               Path http.url
        http://h/v1/%                                Path http.url
        http://h/v1//admin                           h 80 /v1//admin http://h/v1//admin
        http://h//admin                              h 80 //admin http://h//admin
        http://h/v1/100%25                           h 80 /v1/100%25 http://h/v1/100%25
        http://h/%76%31/%61dmin                      h 80 /v1/admin http://h/v1/admin
        http://h/café                                h 80 /caf%C3%A9 http://h/caf%C3%A9
        http://h/caf%c3%a9                           h 80 /caf%C3%A9 http://h/caf%C3%A9
        http://h/a%21b                               h 80 /a%21b http://h/a%21b
        http://h/a b                                 Character http.url
        http://h/\"<>`{}|^                           h 80 /%22%3C%3E%60%7B%7D|^ http://h/%22%3C%3E%60%7B%7D|^
        http://h/v1/%2e%2e;/../x                     Path http.url
        "#);
}

#[test]
fn a_url_has_a_longest_length_as_written_and_in_normal_form() {
    let of_length = |length: usize| format!("http://h/{}", "a".repeat(length - "http://h/".len()));
    assert!(Target::parse(&of_length(URL_BYTES_MAX)).is_ok());
    assert_eq!(Target::parse(&of_length(URL_BYTES_MAX + 1)), Err(UrlRefused::Length));
    let grows = format!("http://h/{}", "\u{e9}".repeat(URL_BYTES_MAX / 4));
    assert_eq!(Target::parse(&grows), Err(UrlRefused::Length));
}

#[test]
fn a_host_and_its_labels_have_a_longest_length() {
    let label = "a".repeat(63);
    let longest = [&label[..], &label, &label, &label[2..]].join(".");
    assert_eq!(longest.len(), 253);
    assert_eq!(host(&longest), Some(longest.clone()));
    assert_eq!(host(&format!("{longest}.")), Some(longest.clone()));
    assert_eq!(host(&format!("a{longest}")), None);
    assert_eq!(host(&"a".repeat(64)), None);
}

#[test]
fn a_redirect_is_judged_like_any_other_target() {
    let base = Target::parse("https://api.example.com:8443/v1/a?x=1").unwrap();
    let table = [
        "b",
        "../b",
        "/c?d#e",
        "?y",
        "",
        "#e",
        "https://other.test/",
        "HTTP://other.test/",
        "//other.test/x",
        "///other.test/x",
        "\\\\other.test/x",
        "/\\other.test/x",
        "/\tx",
        "https:b",
        "https:/b",
        "javascript:alert(1)",
        "//user@other.test/",
        "//@other.test/",
        "..%2f..%2fadmin",
        "/v1/%252e%252e/admin",
        "..;/admin",
        "/..//other.test/x",
        "a:b",
        "./a:b",
    ];
    let line = |location: &&str| {
        let outcome = base.join(location).map_or_else(|refused| format!("{refused:?}"), |target| target.url);
        format!("{:<24} {outcome}", location.escape_debug().to_string())
    };
    insta::assert_snapshot!(table.iter().map(line).collect::<Vec<_>>().join("\n"), @r#"
        b                        https://api.example.com:8443/v1/b
        ../b                     https://api.example.com:8443/b
        /c?d#e                   https://api.example.com:8443/c?d
        ?y                       https://api.example.com:8443/v1/a?y
                                 https://api.example.com:8443/v1/a?x=1
        #e                       https://api.example.com:8443/v1/a?x=1
        https://other.test/      https://other.test/
        HTTP://other.test/       http://other.test/
        //other.test/x           https://other.test/x
        ///other.test/x          Host
        \\\\other.test/x         Character
        /\\other.test/x          Character
        /\tx                     Character
        https:b                  Form
        https:/b                 Form
        javascript:alert(1)      Scheme
        //user@other.test/       UserInfo
        //@other.test/           UserInfo
        ..%2f..%2fadmin          Path
        /v1/%252e%252e/admin     Path
        ..;/admin                Path
        /..//other.test/x        https://api.example.com:8443//other.test/x
        a:b                      Scheme
        ./a:b                    https://api.example.com:8443/v1/a:b
        "#);
}

#[test]
fn a_host_stands_alone() {
    for text in ["a/b", "a:80", "a?b", "a#b", "u@a", "", "a:", "[::1]:80", "[::1]/x", "[::1]x"] {
        assert_eq!(host(text), None, "{text}");
    }
    assert_eq!(host("[0::1]").as_deref(), Some("[::1]"));
    assert_eq!(host("0x7f.1").as_deref(), Some("127.0.0.1"));
    assert_eq!(host_ip("[::1]"), "::1".parse().ok());
    assert_eq!(host_ip("127.0.0.1"), "127.0.0.1".parse().ok());
    assert_eq!(host_ip("localhost"), None);
}

#[test]
fn a_path_stands_alone() {
    assert_eq!(path("/v1/%61").as_deref(), Some("/v1/a"));
    for text in ["", "v1", "/v1?x", "/v1#x", "/%2f", "/a b"] {
        assert_eq!(path(text), None, "{text}");
    }
}

proptest! {
    /// Whatever is accepted is its own normal form, stays inside its host, and holds no dot segment.
    #[test]
    fn what_is_accepted_has_one_normal_form(text in "https?://[a-c.%0-9:@\\[\\]x]{0,12}(/([a-b.;%2eEfF5cC\u{e9}]{0,6}))*(\\?[a-b%/@]{0,4})?") {
        if let Ok(target) = Target::parse(&text) {
            prop_assert_eq!(Target::parse(&target.url), Ok(target.clone()));
            prop_assert!(target.url.is_ascii());
            prop_assert!(!target.path.split('/').any(|segment| matches!(segment, "." | "..")));
            prop_assert!(!target.host.contains(['@', '%']));
        }
    }

    /// No text makes the parser panic.
    #[test]
    fn any_text_is_judged(text in "\\PC{0,40}", location in "\\PC{0,20}") {
        drop(Target::parse(&text));
        let base = Target::parse("http://h/a/b").unwrap();
        if let Ok(target) = base.join(&location) {
            prop_assert_eq!(Target::parse(&target.url), Ok(target));
        }
    }
}
