"""`/identity/v2` and `/ciam/appinfo` as the contract's clients speak: tolerant in what is sent, strict in answers."""
