//! Keys made by ssh-keygen(1), or put together from its parts (`sk-`), and the fingerprints it prints of them.

pub(super) const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQD70ZZUAaspIv51JFzh5wD/ZWQJW6Kh0C246SoCph1s1Rh6oXaJSUy+oAdsUw0B\
     scssxS773Q1SxibVOS8pje0dMjGOIpLsPj67DyYIqCD7hLIYrzGG17k71B78pzbKMhX/lF8kH7W0XFq2WEpYAsyv0f3l6noYyjz+\
     IfxpUHCFP1qvpxTCzi0yllDypIZcr9daA3+w5W2FyFEy04OAaDdQdCX+TQB13tJSYmJvHNxnC/Laq5SDQfhB9pvIYt4kblwZob+C\
     v79potJEdi0qHsryg4E1E5ePgvS1NmCk6hyI7hZ5jmFp9DCbP+wJNmrdzIt2nIBEhGeoquo8n/rD3LGb";
pub(super) const DSA: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBAM+eEn/ic8tHQbXp5deF6Y+X12mrOJe9aDtbXSrN89hugcMrN82HFjrfI76vmnJL7AmDdjz/\
     wlk6hnXvjNhwLmiVOyNQiB2MSt/uBpQUoUnwgOnyEctJjnqmx/1bxaBtnc1mnTE8WnUeBMYgTb0dVaQqG58frEdC1sv/3DlZN9AR\
     AAAAFQCXLeR00E5W8Xkalj0S/Cshyk1BhwAAAIEApVHFRdm5SX5gqjZNrpES5PcR9l+Br/2qZXTNT/TdVi/SNNxyGMnDSUmMhq2/\
     ksbt1lPiVT2jPxu8XFa/JFmSN72gUdrsUblvO9/N7ToUVUc4fYL+DtH7dSQ7/YwyhjWMrpPhJZodPCjlQjkWZzmr0Kamm6QRyOAk\
     /hVIZJEnIxcAAACAeS+HIHcWEcU6kTdeQDRJxxw+LAZdHCDOVKxxPG/yelj28aGA74Urr6PqMFb+ZjShPFV5NDZmFnv3LMyvntkm\
     5g0cCc1P+O+MtoGVX2Xbe3dFV8gd66xPFVPffjlSqaIAWfKg5k57HmoHGaDuMMmfE8F9acnn/d49ee6atn5bva0=";
pub(in crate::tests) const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAlRirwL0t1R4ugdK/1lErcCpenz\
     djzh3cUDDNY+OVgC/tsCCfLCKTsnMeJz1mfADW98CFEmRkJiR3r2vQISDlk=";
pub(super) const P384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBBpBVJL1sNaRpVpuC5UpRa5zxNNi\
     7DcrXuJBQqM5xPoNObglnjOw9r+pkFPw8BiSc1vTfz7DzRNBYXh8bPSf/CPuK9tMBtpL/g+DjPbTQwqhIdYYgDN6p3sFxs/3APGn\
     iA==";
pub(super) const P521: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBABRqo2Qpop0O7JKkRqDIEXI6/MU\
     kZTdRMGf7BU6bYnriHQLWJWim890aWyPPSxgRfdgrIL+DA6du1MMiXycwpADUAF51B/PF3JdmM0Pey1EW5HiIW6BZC+jbQPhqdys\
     UbfUeQOE7l+hV7Sz2FofLHq8mzT8hYEva3PH3EcruD1p5QZWoA==";
pub(in crate::tests) const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC3j8IZGT20SRaSmPR8xODJy8zl7TmTWXdLTsUHctOFY";
pub(in crate::tests) const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAABAgMEBQYHCAkKCwwNDg8QERITF\
     BUWFxgZGhscHR4fAAAABHNzaDo=";
pub(super) const SK_P256: &str = "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyN\
     TYAAABBBAlRirwL0t1R4ugdK/1lErcCpenzdjzh3cUDDNY+OVgC/tsCCfLCKTsnMeJz1mfADW98CFEmRkJiR3r2vQISDlkAAAAEc\
     3NoOg==";
pub(super) const P256_CERT: &str = "ecdsa-sha2-nistp256-cert-v01@openssh.com AAAAKGVjZHNhLXNoYTItbmlzdHAyNTYtY2VydC12MDFAb3BlbnNzaC5jb20\
     AAAAgHAbKQHE+5LtFVESL+IWC1u1SEpoIL7AvZtpidUoFkdYAAAAIbmlzdHAyNTYAAABBBAlRirwL0t1R4ugdK/1lErcCpenzdjz\
     h3cUDDNY+OVgC/tsCCfLCKTsnMeJz1mfADW98CFEmRkJiR3r2vQISDlkAAAAAAAAAAAAAAAEAAAACaWQAAAAJAAAABWFsaWNlAAA\
     AAAAAAAD//////////wAAAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmR\
     pbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnBlcm1pdC11c2VyLXJjAAA\
     AAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIC3j8IZGT20SRaSmPR8xODJy8zl7TmTWXdLTsUHctOFYAAAAUwAAAAtzc2gtZWQ\
     yNTUxOQAAAEAgLAGEEvlIXv0gTci8prhVTvcgFD0o/2nLiswPG/mLKFN1EeNG/Dw0muiSssuGo/RE6pC3Uv2Fh1AfOsrG9QUJ";

/// Each with its fingerprint as `ssh-keygen -l` prints it.
pub(super) const ALL: [(&str, &str); 9] = [
    (RSA, "SHA256:+E6j1W93prJPaCjWYPexRKnQOpy/ZDLZ4r3ZQiycFAA"),
    (DSA, "SHA256:SJEutNpZ11JFNcMDgmGHPNAdmLsypebRgmWQRDu2K78"),
    (P256, "SHA256:gN8wScTeZDnPMhYkyIjfRwpgzCxbQQpxLAR9JFBmyoU"),
    (P384, "SHA256:ofXpyQAd6sXmqQfQqrnjAuth6CKDA/kLD2C+SiD9yeU"),
    (P521, "SHA256:zw57kmX1mWq+29KTu28JdYVif1ezhw209RX6RqV2P9M"),
    (
        ED25519,
        "SHA256:b71XwJZhTN4A6MpP4lj8cNyeqZU25LcAxjevwG17enw",
    ),
    (
        SK_ED25519,
        "SHA256:/p0CbeE3dk2SyW1OXXsThGc12ezDVD8eGw2/vtztDfk",
    ),
    (
        SK_P256,
        "SHA256:NpWMrDYsDaSP90PzMptxnYSmga77crbGE4Rbu4g+D1c",
    ),
    (
        P256_CERT,
        "SHA256:gN8wScTeZDnPMhYkyIjfRwpgzCxbQQpxLAR9JFBmyoU",
    ),
];
