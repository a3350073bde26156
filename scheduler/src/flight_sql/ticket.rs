//! Result tickets: signed claims about statement, partition and owner.
//!
//! A client can neither make one nor change one, and it holds no address or plan. The key is drawn when the scheduler
//! starts and never leaves it, so tickets end with the process, as the results they name do.

use hmac::{Hmac, KeyInit, Mac};
use millpond_engine::error::{Code, Error};
use millpond_proto::Message;
use millpond_proto::statement::{SignedTicket, TicketClaims};
use sha2::Sha256;

use millpond_engine::clock::now_ms;

/// Signs and checks tickets.
#[derive(Clone)]
pub(super) struct Signer {
    key: [u8; 64],
    lifetime_s: u64,
}

impl Signer {
    /// Draws a key. Tickets are good for `lifetime_s` seconds.
    pub(super) fn new(lifetime_s: u64) -> Self {
        // HMAC-SHA-256 takes a key of one block, 64 bytes; the random bits of four UUIDs are more than enough.
        let mut key = [0; 64];
        for part in key.chunks_exact_mut(16) {
            part.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Self { key, lifetime_s }
    }

    /// Makes a ticket for one partition of a statement's result.
    pub(super) fn sign(&self, statement_id: &str, partition: u32, principal: &str) -> Vec<u8> {
        let claims = TicketClaims {
            statement_id: statement_id.to_string(),
            partition,
            principal: principal.to_string(),
            expires_at_s: now_ms() / 1000 + self.lifetime_s,
        }
        .encode_to_vec();
        let signature = self.mac(&claims).finalize().into_bytes().to_vec();
        SignedTicket { claims, signature }.encode_to_vec()
    }

    /// Reads a ticket and checks signature, age and owner.
    ///
    /// # Errors
    /// [`Code::TICKET_VOID`].
    pub(super) fn check(&self, ticket: &[u8], principal: &str) -> Result<TicketClaims, Error> {
        let void = |reason: &str| {
            Error::user(Code::TICKET_VOID, format!("the ticket is void: {reason}"))
                .with_hint("run the statement again")
        };
        let signed = SignedTicket::decode(ticket).map_err(|_| void("it is not one of ours"))?;
        self.mac(&signed.claims)
            .verify_slice(&signed.signature)
            .map_err(|_| void("it was not signed by this scheduler since its last start"))?;
        let claims =
            TicketClaims::decode(signed.claims.as_slice()).map_err(|_| void("it is not one of ours"))?;
        if claims.expires_at_s < now_ms() / 1000 {
            return Err(void("it is too old"));
        }
        if claims.principal != principal {
            return Err(void("it belongs to somebody else"));
        }
        Ok(claims)
    }

    fn mac(&self, claims: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.key.into());
        mac.update(claims);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unchanged_fresh_ticket_of_the_same_principal_is_good() {
        let signer = Signer::new(60);
        let ticket = signer.sign("s", 3, "me");
        assert_eq!(signer.check(&ticket, "me").unwrap().partition, 3);
        assert!(signer.check(&ticket, "you").is_err());
        assert!(
            Signer::new(60).check(&ticket, "me").is_err(),
            "another scheduler's key"
        );
        let mut changed = SignedTicket::decode(ticket.as_slice()).unwrap();
        let mut claims = TicketClaims::decode(changed.claims.as_slice()).unwrap();
        claims.partition = 4;
        changed.claims = claims.encode_to_vec();
        assert!(signer.check(&changed.encode_to_vec(), "me").is_err());
        assert!(signer.check(b"garbage", "me").is_err());
    }
}
