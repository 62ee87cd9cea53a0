//! The keywords of `sshd_config(5)`, up to OpenSSH 10.

/// As the manual page writes them. Their values add up with each line.
const ADD_UP: [&str; 10] = [
    "AcceptEnv",
    "AllowGroups",
    "AllowUsers",
    "DenyGroups",
    "DenyUsers",
    "HostCertificate",
    "HostKey",
    "Include",
    "ListenAddress",
    "Port",
];

/// Of these the first value holds.
const FIRST: [&str; 92] = [
    "AddressFamily",
    "AllowAgentForwarding",
    "AllowStreamLocalForwarding",
    "AllowTcpForwarding",
    "AuthenticationMethods",
    "AuthorizedKeysCommand",
    "AuthorizedKeysCommandUser",
    "AuthorizedKeysFile",
    "AuthorizedPrincipalsCommand",
    "AuthorizedPrincipalsCommandUser",
    "AuthorizedPrincipalsFile",
    "Banner",
    "CASignatureAlgorithms",
    "ChannelTimeout",
    "ChrootDirectory",
    "Ciphers",
    "ClientAliveCountMax",
    "ClientAliveInterval",
    "Compression",
    "DisableForwarding",
    "ExposeAuthInfo",
    "FingerprintHash",
    "ForceCommand",
    "GatewayPorts",
    "GSSAPIAuthentication",
    "GSSAPICleanupCredentials",
    "GSSAPIStrictAcceptorCheck",
    "HostbasedAcceptedAlgorithms",
    "HostbasedAuthentication",
    "HostbasedUsesNameFromPacketOnly",
    "HostKeyAgent",
    "HostKeyAlgorithms",
    "IgnoreRhosts",
    "IgnoreUserKnownHosts",
    "IPQoS",
    "KbdInteractiveAuthentication",
    "KerberosAuthentication",
    "KerberosGetAFSToken",
    "KerberosOrLocalPasswd",
    "KerberosTicketCleanup",
    "KexAlgorithms",
    "LoginGraceTime",
    "LogLevel",
    "LogVerbose",
    "MACs",
    "Match",
    "MaxAuthTries",
    "MaxSessions",
    "MaxStartups",
    "ModuliFile",
    "PasswordAuthentication",
    "PermitEmptyPasswords",
    "PermitListen",
    "PermitOpen",
    "PermitRootLogin",
    "PermitTTY",
    "PermitTunnel",
    "PermitUserEnvironment",
    "PermitUserRC",
    "PerSourceMaxStartups",
    "PerSourceNetBlockSize",
    "PerSourcePenalties",
    "PerSourcePenaltyExemptList",
    "PidFile",
    "PrintLastLog",
    "PrintMotd",
    "PubkeyAcceptedAlgorithms",
    "PubkeyAuthentication",
    "RDomain",
    "RefuseConnection",
    "RekeyLimit",
    "RequiredRSASize",
    "RevokedKeys",
    "SecurityKeyProvider",
    "SetEnv",
    "SshdAuthPath",
    "SshdSessionPath",
    "StreamLocalBindMask",
    "StreamLocalBindUnlink",
    "StrictModes",
    "Subsystem",
    "SyslogFacility",
    "TCPKeepAlive",
    "TrustedUserCAKeys",
    "UnusedConnectionTimeout",
    "UseDNS",
    "UsePAM",
    "VersionAddendum",
    "X11DisplayOffset",
    "X11Forwarding",
    "X11UseLocalhost",
    "XAuthLocation",
];

/// Older names of some.
const ALIASES: [(&str, &str); 7] = [
    ("HostDSAKey", "HostKey"),
    ("DSAAuthentication", "PubkeyAuthentication"),
    (
        "ChallengeResponseAuthentication",
        "KbdInteractiveAuthentication",
    ),
    ("SkeyAuthentication", "KbdInteractiveAuthentication"),
    ("KeepAlive", "TCPKeepAlive"),
    ("PubkeyAcceptedKeyTypes", "PubkeyAcceptedAlgorithms"),
    ("HostbasedAcceptedKeyTypes", "HostbasedAcceptedAlgorithms"),
];

/// No name is longer, nor is one that somebody patched in.
const MAX_NAME: usize = 64;

pub(super) struct Keyword {
    /// As the manual page writes it; as the file does if that does not know it.
    pub name: Vec<u8>,
    /// Each line adds to those before.
    pub adds_up: bool,
}

impl Keyword {
    /// `None`: not of the form of one.
    pub(super) fn of(written: &[u8]) -> Option<Self> {
        let is_name = written.iter().all(u8::is_ascii_alphanumeric);
        if written.is_empty() || written.len() > MAX_NAME || !is_name {
            return None;
        }
        let is = |name: &str| name.as_bytes().eq_ignore_ascii_case(written);
        let alias = ALIASES.iter().find(|(old, _)| is(old));
        let is = |name: &&&str| is(name) || alias.is_some_and(|(_, new)| name == &new);
        let adding = ADD_UP.iter().find(is);
        let known = adding.or_else(|| FIRST.iter().find(is));
        Some(Self {
            name: known.map_or(written, |name| name.as_bytes()).to_vec(),
            adds_up: adding.is_some(),
        })
    }
}
