use super::parse;

#[test]
fn ten_mistakes_are_ten_mistakes() {
    let text = r#"[lab]
name = "ten"
medum = "sample"
authdom = 3
hostowner = "adm"
formats = ["qcow"]
[network]
gateway = "10.8.0.1"
[[node]]
name = "a"
roles = ["cpuu"]
mac = "01:00:5e:00:00:01"
[[node]]
name = "A"
roles = ["cpu"]
disk = "2 Gib"
memory = 512
"#;
    let mistakes = parse(text).unwrap_err();
    let found: Vec<String> =
        mistakes.mistakes.iter().map(|m| format!("{}: {}", m.place.as_ref().unwrap(), m.message)).collect();
    assert_eq!(
        found,
        [
            "lab.toml:3:1: Unknown key `medum` in [lab]",
            "lab.toml:4:11: `authdom` is an integer",
            "lab.toml:5:13: Host owner `adm` is a user that every Plan 9 file server has already",
            "lab.toml:6:12: Unknown format `qcow`",
            "lab.toml:8:11: Gateway 10.8.0.1 is outside the subnet 10.9.0.0/24",
            "lab.toml:11:10: Unknown role `cpuu`",
            "lab.toml:12:7: `01:00:5e:00:00:01` is not a MAC address: its first byte is odd, which makes it the address of a group",
            "lab.toml:14:8: Two nodes are called `A`",
            "lab.toml:16:8: `2 Gib` is not a size: unknown unit `Gib`",
            "lab.toml:17:10: A memory of 512 B is too small",
        ]
    );
    assert!(mistakes.render(false).ends_with("\n10 mistakes in lab.toml"));
}
