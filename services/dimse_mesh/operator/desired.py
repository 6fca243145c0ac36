"""What should exist for one DimseProxy: a pure function from the resource to Kubernetes objects."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from dimse_mesh.operator.deployment import config_map, deployment
from dimse_mesh.operator.names import Manifest, Owner
from dimse_mesh.operator.network import listener_service, network_policy
from dimse_mesh.operator.resource import DimseProxySpec
from dimse_mesh.operator.scaling import autoscaler, disruption_budget
from dimse_mesh.operator.zone import components, zone_settings


def desired_objects(
    owner: Owner,
    spec: DimseProxySpec,
    *,
    default_image: str,
    secret_digests: Mapping[str, str] | None = None,
) -> list[Manifest]:
    """Return every object of the zone, in the order in which to apply them.

    Args:
        default_image: image of the services where `proxy.image` doesn't say.
        secret_digests: by `SecretUse.label`; a change replaces the pods that use the Secret.

    Raises:
        InvalidResourceError: a setting is not valid.
    """
    image = spec.proxy.image or default_image
    objects: list[Manifest] = [listener_service(owner, spec)]
    for component in components(spec):
        text = yaml.safe_dump(zone_settings(spec, component), sort_keys=False)
        objects.append(config_map(owner, component, text))
        if spec.network_policy.enabled:
            objects.append(network_policy(owner, spec, component))
        objects.append(disruption_budget(owner, component))
        objects.append(
            deployment(
                owner,
                spec,
                component,
                image=image,
                config_text=text,
                secret_digests=secret_digests or {},
            )
        )
        rule = getattr(spec.services, component.field).autoscaling
        if rule is not None:
            objects.append(autoscaler(owner, spec, component, rule))
    return objects
