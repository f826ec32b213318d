//! Filters of the indexer: query parameters read as the original reads them, and what they admit.

use iota_sdk::types::block::address::{Address, Bech32Address};
use iota_sdk::types::block::output::unlock_condition::UnlockConditions;
use iota_sdk::types::block::output::{Feature, NativeTokens, Output};
use tarefa_ledger::engine::{Engine, OutputRecord};

use super::super::answer::Failure;
use super::super::params;
use super::Listing;

/// Bytes of a tag (TIP-18).
const TAG_MAX: usize = 64;

/// Parameters looked at: the original knows half as many.
const PAIRS_MAX: usize = 64;

/// Query parameters; of a repeated one the first counts, an empty one is absent.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        let mut pairs: Vec<(String, String)> = vec![];
        for (key, value) in form_urlencoded::parse(text.as_bytes()).take(PAIRS_MAX) {
            if pairs.iter().all(|(known, _)| *known != key) {
                pairs.push((key.into_owned(), value.into_owned()));
            }
        }
        Self(pairs)
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

type Test = Box<dyn Fn(&OutputRecord) -> bool>;

/// A conjunction of tests.
pub struct Filter {
    tests: Vec<Test>,
    named: Option<Address>,
}

impl Filter {
    /// Reads the parameters that a listing knows; others are ignored.
    pub fn parse(query: &Query, listing: Listing, engine: &Engine) -> Result<Self, Failure> {
        let mut filter = Self { tests: vec![], named: None };
        let reader = Reader { query, engine };
        filter.common(&reader)?;
        match listing {
            Listing::All => filter.unlockable(&reader)?,
            Listing::Basic => {
                filter.unlockable(&reader)?;
                filter.owned(&reader)?;
            }
            Listing::Nft => {
                filter.unlockable(&reader)?;
                filter.owned(&reader)?;
                filter.address(reader.address("issuer")?, |record| issuer(&record.output));
            }
            Listing::Alias => {
                filter.unlockable(&reader)?;
                filter.aliases(&reader)?;
            }
            Listing::Foundry => filter.foundries(&reader)?,
        }
        Ok(filter)
    }

    /// An address that every match names in an unlock condition: the index for it is enough.
    pub fn named(&self) -> Option<&Address> {
        self.named.as_ref()
    }

    /// Whether an output passes every test.
    pub fn admits(&self, record: &OutputRecord) -> bool {
        self.tests.iter().all(|test| test(record))
    }

    fn test(&mut self, test: impl Fn(&OutputRecord) -> bool + 'static) {
        self.tests.push(Box::new(test));
    }

    fn address(&mut self, wanted: Option<Address>, of: fn(&OutputRecord) -> Option<Address>) {
        if let Some(wanted) = wanted {
            self.test(move |record| of(record) == Some(wanted));
        }
    }

    fn flag(&mut self, wanted: Option<bool>, of: fn(&OutputRecord) -> bool) {
        if let Some(wanted) = wanted {
            self.test(move |record| of(record) == wanted);
        }
    }

    /// Both ends are excluded; what has no such time does not match.
    fn time(&mut self, range: (Option<u32>, Option<u32>), of: fn(&OutputRecord) -> Option<u32>) {
        let (before, after) = range;
        if before.is_some() || after.is_some() {
            let inside = move |time: u32| before.is_none_or(|b| time < b) && after.is_none_or(|a| time > a);
            self.test(move |record| of(record).is_some_and(inside));
        }
    }

    fn common(&mut self, reader: &Reader<'_>) -> Result<(), Failure> {
        self.flag(reader.flag("hasNativeTokens")?, |record| tokens(&record.output) > 0);
        if let Some(least) = reader.token_count("minNativeTokenCount")? {
            self.test(move |record| tokens(&record.output) >= least);
        }
        if let Some(most) = reader.token_count("maxNativeTokenCount")? {
            self.test(move |record| tokens(&record.output) <= most);
        }
        self.time(reader.range("createdBefore", "createdAfter")?, |record| Some(record.booked_at));
        Ok(())
    }

    fn unlockable(&mut self, reader: &Reader<'_>) -> Result<(), Failure> {
        // Whatever the time: any address that may unlock it, or gets the deposit back.
        self.named = reader.address("unlockableByAddress")?;
        Ok(())
    }

    fn owned(&mut self, reader: &Reader<'_>) -> Result<(), Failure> {
        let address = reader.address("address")?;
        self.named = self.named.or(address);
        self.address(address, |record| conditions(record)?.address().map(|condition| *condition.address()));
        let wanted = reader.flag("hasStorageDepositReturn")?;
        self.flag(wanted, |record| conditions(record).is_some_and(|all| all.storage_deposit_return().is_some()));
        let wanted = reader.address("storageDepositReturnAddress")?;
        self.address(wanted, |record| conditions(record)?.storage_deposit_return().map(|one| *one.return_address()));
        let wanted = reader.flag("hasExpiration")?;
        self.flag(wanted, |record| conditions(record).is_some_and(|all| all.expiration().is_some()));
        let wanted = reader.address("expirationReturnAddress")?;
        self.address(wanted, |record| conditions(record)?.expiration().map(|one| *one.return_address()));
        let range = reader.range("expiresBefore", "expiresAfter")?;
        self.time(range, |record| conditions(record)?.expiration().map(|one| one.timestamp()));
        let wanted = reader.flag("hasTimelock")?;
        self.flag(wanted, |record| conditions(record).is_some_and(|all| all.timelock().is_some()));
        let range = reader.range("timelockedBefore", "timelockedAfter")?;
        self.time(range, |record| conditions(record)?.timelock().map(|one| one.timestamp()));
        self.address(reader.address("sender")?, |record| sender(&record.output));
        if let Some(wanted) = reader.tag()? {
            self.test(move |record| tag(&record.output).is_some_and(|tag| tag == wanted));
        }
        Ok(())
    }

    fn aliases(&mut self, reader: &Reader<'_>) -> Result<(), Failure> {
        let wanted = reader.address("stateController")?;
        self.address(wanted, |record| conditions(record)?.state_controller_address().map(|one| *one.address()));
        let wanted = reader.address("governor")?;
        self.address(wanted, |record| conditions(record)?.governor_address().map(|one| *one.address()));
        self.address(reader.address("issuer")?, |record| issuer(&record.output));
        self.address(reader.address("sender")?, |record| sender(&record.output));
        Ok(())
    }

    fn foundries(&mut self, reader: &Reader<'_>) -> Result<(), Failure> {
        let wanted = reader.address("aliasAddress")?;
        if let Some(other @ (Address::Ed25519(_) | Address::Nft(_))) = wanted {
            let text = Bech32Address::new(*reader.engine.params().bech32_hrp(), other);
            return Err(Failure::bad(format!("invalid address: {text}, not an alias address")));
        }
        self.named = wanted;
        Ok(())
    }
}

fn conditions(record: &OutputRecord) -> Option<&UnlockConditions> {
    record.output.unlock_conditions()
}

fn sender(output: &Output) -> Option<Address> {
    output.features()?.sender().map(|sender| *sender.address())
}

fn issuer(output: &Output) -> Option<Address> {
    output.immutable_features()?.issuer().map(|issuer| *issuer.address())
}

fn tag(output: &Output) -> Option<&[u8]> {
    output.features()?.iter().find_map(|feature| match feature {
        Feature::Tag(tag) => Some(tag.tag()),
        _ => None,
    })
}

fn tokens(output: &Output) -> u32 {
    output.native_tokens().map_or(0, |tokens| tokens.len() as u32)
}

/// Reads single parameters, with the words of the original when they make no sense.
struct Reader<'a> {
    query: &'a Query,
    engine: &'a Engine,
}

impl Reader<'_> {
    fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        let Some(text) = self.query.get(key) else { return Ok(None) };
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(Failure::internal(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax"))),
        }
    }

    fn number(&self, key: &str) -> Result<Option<u32>, Failure> {
        let Some(text) = self.query.get(key) else { return Ok(None) };
        let bad = |why: String| Failure::bad(format!("invalid value: {text}, error: {why}"));
        params::unsigned(text).map(Some).map_err(bad)
    }

    fn token_count(&self, key: &str) -> Result<Option<u32>, Failure> {
        const MAX: u32 = NativeTokens::COUNT_MAX as u32;
        match self.number(key)? {
            Some(n) if n > MAX => Err(Failure::bad(format!("invalid value: {n}, higher than the max number [{MAX}]"))),
            other => Ok(other),
        }
    }

    fn range(&self, before: &str, after: &str) -> Result<(Option<u32>, Option<u32>), Failure> {
        Ok((self.number(before)?, self.number(after)?))
    }

    fn address(&self, key: &str) -> Result<Option<Address>, Failure> {
        let Some(text) = self.query.get(key) else { return Ok(None) };
        let hrp = self.engine.params().bech32_hrp();
        params::address(text, hrp).map(Some).map_err(|error| match error {
            params::AddressError::Encoding(why) => Failure::bad(format!("invalid address: {text}, error: {why}")),
            params::AddressError::Hrp => Failure::bad(format!("invalid bech32 address, expected prefix: {hrp}")),
        })
    }

    fn tag(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(text) = self.query.get("tag") else { return Ok(None) };
        let bytes = params::hex(text).map_err(|why| Failure::bad(format!("invalid param: tag, error: {why}")))?;
        if bytes.len() > TAG_MAX {
            let length = bytes.len();
            return Err(Failure::bad(format!("query parameter tag too long, max. {TAG_MAX} bytes but is {length}")));
        }
        // Like an absent one: it does not select empty tags.
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}
