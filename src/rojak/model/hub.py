"""Whether a model of the hub must come from this machine's cache, and a sentence where it is not there either.

Asks the hub once; reads its cache.
"""

from rojak.errors import InputError

PATIENCE_S = 10.0


def must_be_cached(name: str) -> bool:
    """See whether the hub is out of reach. Left to themselves its libraries ask six times, half a minute a file.

    Args:
        name: A hub id.

    Raises:
        InputError: It is out of reach and the model was never loaded here before.
    """
    from httpx import TransportError
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=PATIENCE_S)
    except (HfHubHTTPError, HFValidationError):
        return False  # it answers; what is wrong with the name is said when the model is loaded
    except (TransportError, ConnectionError) as error:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return True
        raise InputError(
            f"Cannot load the model {name!r}: the model hub cannot be reached ({error}) and the model is not in the "
            f"cache; go online, or fetch it elsewhere with `hf download {name} --local-dir DIR`, bring the folder here "
            "and give it as model_name."
        ) from error
    return False
