import { Icon } from "./icons";

/** A link that somebody reported: only to a web page, and told apart from links of our own. */
export function ExternalLink({ title, address }: { title: string; address: string }) {
  if (!/^https?:\/\//i.test(address))
    return <code>{address && address !== title ? `${title}: ${address}` : title}</code>;
  return (
    <a class="external" href={address} target="_blank" rel="noopener noreferrer">
      {title}
      <Icon name="external" />
    </a>
  );
}
